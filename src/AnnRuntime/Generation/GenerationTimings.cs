namespace AnnRuntime;

/// <summary>Tokens and wall time of one generation. Time in which the reader kept the worker waiting is not counted.</summary>
public sealed record GenerationTimings
{
    /// <summary>Tokens of the prompt.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Of them, tokens whose cells were reused.</summary>
    public required int CachedTokens { get; init; }

    /// <summary>Time of the prompt's computation.</summary>
    public required TimeSpan PromptTime { get; init; }

    /// <summary>Tokens of the answer, the one that ends it included.</summary>
    public required int GeneratedTokens { get; init; }

    /// <summary>Single-token decodes: the first token of an answer needs none.</summary>
    public required int DecodeSteps { get; init; }

    /// <summary>Time of those decodes and of sampling.</summary>
    public required TimeSpan DecodeTime { get; init; }

    /// <summary>Computed prompt tokens per second; 0 when none were.</summary>
    public double PromptTokensPerSecond => Rate(PromptTokens - CachedTokens, PromptTime);

    /// <summary>Decode steps per second; 0 when there were none.</summary>
    public double DecodeTokensPerSecond => Rate(DecodeSteps, DecodeTime);

    /// <summary>Mean time of a decode step in milliseconds; 0 when there were none.</summary>
    public double DecodeMillisecondsPerToken => DecodeSteps == 0 ? 0 : DecodeTime.TotalMilliseconds / DecodeSteps;

    private static double Rate(int count, TimeSpan time) =>
        count <= 0 || time <= TimeSpan.Zero ? 0 : count / time.TotalSeconds;
}
