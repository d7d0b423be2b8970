namespace AnnRuntime.Cli;

/// <summary>What <c>tokenize --json</c> writes.</summary>
internal sealed record TokenizeReport(string Model, int Count, IReadOnlyList<TokenReport> Tokens);

/// <summary>A token and its text; bytes that are part of a character are shown as U+FFFD.</summary>
internal sealed record TokenReport(int Id, string Text);
