namespace AnnRuntime;

/// <summary>A long text that holds a password and ends with the question for it.</summary>
/// <param name="Text">The prompt.</param>
/// <param name="Tokens">Its tokens.</param>
/// <param name="Answer">The password.</param>
/// <param name="Options">What it was made from.</param>
public sealed record PasswordPrompt(string Text, IReadOnlyList<int> Tokens, string Answer, PasswordPromptOptions Options);
