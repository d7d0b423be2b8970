namespace AnnRuntime;

/// <summary>One prompt for a <see cref="GenerationEngine"/>.</summary>
public sealed record GenerationRequest
{
    /// <summary>Tokens of the prompt, at least one. What the engine already holds of it is not computed again.</summary>
    public required IReadOnlyList<int> Prompt { get; init; }

    /// <summary>How the answer is generated. Default: up to 256 tokens at temperature 0.8.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>How cells are chosen. Default null: as the engine's context. Off cannot be entered or left.</summary>
    public SearchMode? Mode { get; init; }

    /// <summary>Cells attended to per query and layer. Default null: as the engine's context.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? TopK
    {
        get;
        init => field = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(TopK), value, $"TopK is {value}; it must be at least 1.");
    }

    /// <summary>What happens when the sequence is full. Default stop.</summary>
    public OverflowPolicy Overflow { get; init; }

    /// <summary>First tokens that <see cref="OverflowPolicy.Shift"/> never forgets. Default 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int KeepTokens
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(KeepTokens), value, $"KeepTokens is {value}; it must be at least 0.");
    } = 4;

    /// <summary>
    /// Keeps what each layer retrieved for the newest token (<see cref="Generation.Retrieval"/>). Each token then is
    /// also attended in full for comparison, and computed apart from other requests. Default false.
    /// </summary>
    public bool Observe { get; init; }

    /// <summary>
    /// What OpenTelemetry calls the request (<c>gen_ai.operation.name</c>): <c>chat</c> or <c>text_completion</c>, the default.
    /// </summary>
    public string Operation { get; init; } = "text_completion";
}
