namespace AnnRuntime;

/// <summary>What an engine has done since it was created. Tokens and times are those of requests that have ended.</summary>
public sealed record EngineMetrics
{
    /// <summary>Requests that have ended, in whichever way.</summary>
    public long Requests { get; init; }

    /// <summary>Of them, failed.</summary>
    public long Failed { get; init; }

    /// <summary>Of them, cancelled.</summary>
    public long Cancelled { get; init; }

    /// <summary>Requests refused because the queue was full.</summary>
    public long Refused { get; init; }

    /// <summary>Tokens of prompts, reused ones included.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Of them, tokens whose cells were reused.</summary>
    public long CachedTokens { get; init; }

    /// <summary>Tokens of answers.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>Time of prompts, summed over requests.</summary>
    public TimeSpan PromptTime { get; init; }

    /// <summary>Time of answers, summed over requests.</summary>
    public TimeSpan DecodeTime { get; init; }

    /// <summary>Batches computed.</summary>
    public long Steps { get; init; }

    /// <summary>Requests in them, summed.</summary>
    public long StepRequests { get; init; }

    /// <summary>Tokens in them, summed.</summary>
    public long StepTokens { get; init; }

    /// <summary>Time of their computation.</summary>
    public TimeSpan StepTime { get; init; }

    /// <summary>Steps of generation whose search was measured (<see cref="EngineOptions.MeasureEvery"/>).</summary>
    public long MeasuredSteps { get; init; }

    /// <summary>Mean cells visible to a searching query, summed over them.</summary>
    public double VisibleSum { get; init; }

    /// <summary>Mean cells that a searching query attended to, summed over them.</summary>
    public double VisitedSum { get; init; }

    /// <summary>Mean share of the full attention's mass on the cells attended to, summed over them.</summary>
    public double MassSum { get; init; }

    /// <summary>Mean share of the full attention's top-k among the cells attended to, summed over them.</summary>
    public double TeacherRecallSum { get; init; }

    /// <summary>Of the measured steps, those that searched an index.</summary>
    public long IndexMeasuredSteps { get; init; }

    /// <summary>Mean share of the exact search's cells that the index found, summed over these.</summary>
    public double IndexRecallSum { get; init; }

    /// <summary>Requests that are computed now.</summary>
    public int Running { get; init; }

    /// <summary>Requests that wait.</summary>
    public int Queued { get; init; }

    /// <summary>Cells in use; those that several sequences share count for each.</summary>
    public int CellsUsed { get; init; }

    /// <summary>Cells of the context.</summary>
    public int Cells { get; init; }
}
