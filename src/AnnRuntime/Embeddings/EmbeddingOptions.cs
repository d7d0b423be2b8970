namespace AnnRuntime;

/// <summary>How an <see cref="EmbeddingEngine"/> is created.</summary>
public sealed record EmbeddingOptions
{
    /// <summary>Cells when none are asked for and the model was trained to more.</summary>
    internal const int DefaultLength = 8192;

    /// <summary>
    /// The context: its cells bound the longest input, its <see cref="ContextOptions.MaxSequences"/> are the inputs computed at
    /// once. Default: 8192 cells, or the model's training length where that is less; 16 inputs, 512 tokens a batch.
    /// </summary>
    /// <remarks>Embeddings and pooling are set by the engine. Outputs take memory for each token of a batch.</remarks>
    /// <exception cref="ArgumentNullException">Null.</exception>
    /// <exception cref="ArgumentException">Sequences with cells of their own.</exception>
    public ContextOptions Context
    {
        get;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value.UnifiedCache
                ? value
                : throw new ArgumentException("An embedding engine needs a context with UnifiedCache.", nameof(Context));
        }
    } = new() { MaxSequences = 16, BatchSize = 512 };

    /// <summary>How the embeddings of tokens become one: mean, cls or last. Default null: as the file says, else mean.</summary>
    /// <exception cref="ArgumentOutOfRangeException">None, or not a member of the enum.</exception>
    public Pooling? Pooling
    {
        get;
        init => field = value is null || (Enum.IsDefined(value.Value) && value != AnnRuntime.Pooling.None)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Pooling), value, $"Pooling is {(int)value.Value}; it must be mean (1), cls (2) or last (3).");
    }

    /// <summary>Gives embeddings the length 1. Default true.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>Inputs that may wait. Default 4096.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int QueueLimit
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(QueueLimit), value, $"QueueLimit is {value}; it must be at least 1.");
    } = 4096;
}
