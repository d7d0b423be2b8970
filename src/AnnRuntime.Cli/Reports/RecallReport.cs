namespace AnnRuntime.Cli;

/// <summary>What <c>recall --json</c> and <c>demo --json</c> write.</summary>
internal sealed record RecallReport(
    string Model, string Format, string Words, IReadOnlyList<RecallSummary> Summary, IReadOnlyList<RecallRow> Rows);

/// <summary>One variant at one length.</summary>
internal sealed record RecallSummary(
    string Variant,
    int Length,
    int Passed,
    int Prompts,
    double PromptTokensPerSecond,
    double DecodeTokensPerSecond,
    double DecodeMsPerToken,
    double? Mass,
    double? RecallTeacher,
    long CacheBytes,
    long SearchBytes)
{
    /// <summary>Sums rows up. Speeds are total tokens by total time.</summary>
    public static IReadOnlyList<RecallSummary> From(IReadOnlyList<RecallRow> rows) =>
    [
        .. rows.GroupBy(row => (row.Variant, row.Length)).Select(group => new RecallSummary(
            group.Key.Variant,
            group.Key.Length,
            group.Count(row => row.Pass),
            group.Count(),
            Rate(group.Sum(row => row.Timings.PromptTokens), group.Sum(row => row.Timings.PromptMs)),
            Rate(group.Sum(row => row.Timings.DecodeSteps), group.Sum(row => row.Timings.DecodeMs)),
            Math.Round(group.Sum(row => row.Timings.DecodeMs) / Math.Max(1, group.Sum(row => row.Timings.DecodeSteps)), 4),
            group.Average(row => row.Mass),
            group.Average(row => row.RecallTeacher),
            group.Max(row => row.Memory.KBytes + row.Memory.VBytes),
            group.Max(row => row.Memory.SearchBytes))),
    ];

    private static double Rate(int tokens, double milliseconds) =>
        milliseconds <= 0 ? 0 : Math.Round(1000 * tokens / milliseconds, 2);
}
