namespace AnnRuntime;

/// <summary>A finished generation.</summary>
/// <param name="Text">The answer, without a stop string.</param>
/// <param name="Tokens">Its tokens, the one that ended it included.</param>
/// <param name="FinishReason">Why it ended.</param>
/// <param name="Timings">Tokens and times.</param>
/// <param name="Retrieval">
/// What search did; null unless <see cref="AnnContext.StartStatistics"/> was called. Counts since that call.
/// </param>
public sealed record GenerationResult(
    string Text,
    IReadOnlyList<int> Tokens,
    FinishReason FinishReason,
    GenerationTimings Timings,
    RetrievalStatistics? Retrieval)
{
    /// <summary>Tokens that were forgotten to make room (<see cref="OverflowPolicy.Shift"/>).</summary>
    public int ForgottenTokens { get; init; }
}
