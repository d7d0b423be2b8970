namespace AnnRuntime;

/// <summary>How much of a prompt is computed.</summary>
/// <param name="Done">Tokens in the cache, reused ones included.</param>
/// <param name="Total">Tokens of the prompt.</param>
public readonly record struct PrefillProgress(int Done, int Total);
