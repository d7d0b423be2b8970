namespace AnnRuntime;

/// <summary>How a model answered a password prompt.</summary>
/// <param name="Prompt">The prompt.</param>
/// <param name="Answer">What the model said, without white space around it.</param>
/// <param name="IsRight">Whether it is the password, and nothing else.</param>
/// <param name="Generation">Tokens and times.</param>
public sealed record PasswordRecallResult(
    PasswordPrompt Prompt, string Answer, bool IsRight, GenerationResult Generation);
