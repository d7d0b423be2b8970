namespace AnnRuntime;

/// <summary>How a <see cref="GenerationEngine"/> is created.</summary>
public sealed record EngineOptions
{
    /// <summary>The context. Its <see cref="ContextOptions.MaxSequences"/> are the answers computed at once.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    /// <exception cref="ArgumentException">Sequences with cells of their own, or more sequences than a batch has tokens.</exception>
    public ContextOptions Context
    {
        get;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            if (!value.UnifiedCache || value.Embeddings)
            {
                throw new ArgumentException(
                    "An engine needs a context with UnifiedCache and without Embeddings: its sequences share prefixes.",
                    nameof(Context));
            }

            field = Math.Min(value.BatchSize, value.UbatchSize) > value.MaxSequences
                ? value
                : throw new ArgumentException(
                    $"BatchSize {value.BatchSize} and UbatchSize {value.UbatchSize} must both exceed MaxSequences "
                    + $"{value.MaxSequences}.", nameof(Context));
        }
    } = new() { MaxSequences = 4 };

    /// <summary>Requests that may wait. Default 64; 0: a request that cannot start at once is refused.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int QueueLimit
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(QueueLimit), value, $"QueueLimit is {value}; it must be at least 0.");
    } = 64;

    /// <summary>
    /// Prompt tokens computed in one step while other answers are being generated; without any, a whole ubatch is.
    /// Default 128. Fewer: smoother answers, slower prompts.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int PromptTokensPerStep
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(PromptTokensPerStep), value, $"PromptTokensPerStep is {value}; it must be at least 1.");
    } = 128;

    /// <summary>
    /// Every n-th step that only generates is measured: cells visited, attention mass and recall go to the meter and to
    /// <see cref="GenerationEngine.GetMetrics"/>. Such a step also attends in full, for comparison. Default 0: none.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int MeasureEvery
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(MeasureEvery), value, $"MeasureEvery is {value}; it must be at least 0, which measures nothing.");
    }
}
