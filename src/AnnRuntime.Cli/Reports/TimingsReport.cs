namespace AnnRuntime.Cli;

/// <summary>Tokens and times of a generation.</summary>
internal sealed record TimingsReport(
    int PromptTokens,
    int CachedTokens,
    double PromptMs,
    double PromptTokensPerSecond,
    int GeneratedTokens,
    int DecodeSteps,
    double DecodeMs,
    double DecodeTokensPerSecond,
    double DecodeMsPerToken)
{
    public static TimingsReport From(GenerationTimings timings) => new(
        timings.PromptTokens,
        timings.CachedTokens,
        Math.Round(timings.PromptTime.TotalMilliseconds, 3),
        Math.Round(timings.PromptTokensPerSecond, 2),
        timings.GeneratedTokens,
        timings.DecodeSteps,
        Math.Round(timings.DecodeTime.TotalMilliseconds, 3),
        Math.Round(timings.DecodeTokensPerSecond, 2),
        Math.Round(timings.DecodeMillisecondsPerToken, 4));
}
