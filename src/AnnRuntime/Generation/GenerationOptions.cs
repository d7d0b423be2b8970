namespace AnnRuntime;

/// <summary>How an answer is generated.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens of the answer. Default 256. Null: until the model ends it or the context is full.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? MaxTokens
    {
        get;
        init => field = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(MaxTokens), value, $"MaxTokens is {value}; it must be at least 1, or null for no limit.");
    } = 256;

    /// <summary>How tokens are chosen. Default: temperature 0.8 and a random seed.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public SamplingOptions Sampling
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(Sampling));
    } = new();

    /// <summary>Texts that end the answer and are not part of it. Default none.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    /// <exception cref="ArgumentException">An empty text.</exception>
    public IReadOnlyList<string> StopStrings
    {
        get;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value.Any(string.IsNullOrEmpty)
                ? throw new ArgumentException("A stop string is empty; each must have a character.", nameof(StopStrings))
                : value;
        }
    } = [];

    /// <summary>Goes on when the model wants to end. Default false. For measurements of speed.</summary>
    public bool IgnoreEndOfGeneration { get; init; }

    /// <summary>Adds the tokens that the model wants at the start of a text. Default true.</summary>
    public bool AddSpecial { get; init; } = true;

    /// <summary>Recognises special tokens written in the prompt. Default true.</summary>
    public bool ParseSpecial { get; init; } = true;

    /// <summary>Writes special tokens of the answer as text. Default false.</summary>
    public bool ShowSpecial { get; init; }

    /// <summary>
    /// Special tokens whose text belongs to the answer all the same, such as <see cref="ChatPrompt.PreservedTokens"/>. Default
    /// none.
    /// </summary>
    public IReadOnlyList<string> ShownTokens { get; init; } = [];

    /// <summary>Keeps the cells that the prompt shares with what the session holds. Default true.</summary>
    public bool ReusePrefix { get; init; } = true;
}
