namespace AnnRuntime.Evaluation;

/// <summary>How windows are computed, the same for every variant of a run.</summary>
public sealed record EvaluationPlan
{
    /// <summary>The variants, each on every window.</summary>
    public required IReadOnlyList<EvaluationVariant> Variants { get; init; }

    /// <summary>The windows.</summary>
    public required TextWindows Windows { get; init; }

    /// <summary>Length, types and threads of the context; its search is replaced by the variants'.</summary>
    public required ContextOptions Context { get; init; }

    /// <summary>Measures attention mass and teacher recall of every searched layer. Costs about another window.</summary>
    public bool Measure { get; init; }

    /// <summary>
    /// Measures on the trajectory of full attention: attention is full, the variants' choices are only compared with it,
    /// and perplexity is that of full attention. Default false: on the variant's own.
    /// </summary>
    public bool DenseTrajectory { get; init; }

    /// <summary>First token whose query is measured, a multiple of <see cref="Chunk"/>. Default 0: all are.</summary>
    public int MeasuredFrom { get; init; }

    /// <summary>Times the choice of cells. Every node runs alone, so the whole is slower.</summary>
    public bool Time { get; init; }

    /// <summary>Compares every next-token distribution with that of full attention, computed beside it.</summary>
    public bool Compare { get; init; }

    /// <summary>Tokens of one decode. Default 512; 1 computes as generation does, token by token.</summary>
    public int Chunk { get; init; } = 512;

    /// <summary>
    /// The last tokens of a window that come one by one, as generation computes; what is before them is their prompt, in
    /// chunks, and no target. Default 0: all tokens come in chunks, and all are targets.
    /// </summary>
    public int Generated { get; init; }

    /// <summary>Whether the context keeps search keys: false for a model without projections.</summary>
    internal bool HasSearch { get; init; } = true;

    /// <summary>First token that is computed by itself and whose successor is a target.</summary>
    internal int GeneratedFrom => Generated > 0 ? Windows.Length - Generated : 0;

    /// <summary>What beside variant and window decides a result.</summary>
    internal string Key =>
        $"measure={Measure} trajectory={(DenseTrajectory ? "dense" : "own")} from={MeasuredFrom} time={Time} compare={Compare} "
        + $"chunk={Chunk} generated={Generated} cache={Context.KeyType}/{Context.ValueType}/{Context.SearchKeyType} flash={Context.FlashAttention}";

    /// <summary>Tokens of the decode that begins at a token.</summary>
    internal int Step(int from) =>
        Generated == 0 ? Math.Min(Chunk, Windows.Length - from)
        : from < GeneratedFrom ? Math.Min(Chunk, GeneratedFrom - from)
        : 1;
}
