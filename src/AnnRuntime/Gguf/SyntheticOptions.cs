namespace AnnRuntime.Gguf;

/// <summary>What <see cref="SyntheticModel"/> writes.</summary>
public sealed record SyntheticOptions
{
    /// <summary>Shape of the model.</summary>
    public required SyntheticShape Shape { get; init; }

    /// <summary>Type of all matrices: F16, Q8_0 or Q4_0. Default Q8_0. Norms are F32, projections F16.</summary>
    public TensorType Type { get; init; } = TensorType.Q8_0;

    /// <summary>Layers with projections, as <see cref="LayerList"/> reads them. Default <c>all</c>.</summary>
    public string AnnLayers { get; init; } = "all";

    /// <summary>Elements of a search vector, a multiple of 32. Default 128.</summary>
    public int SearchLength { get; init; } = 128;

    /// <summary>Settings of the search. Default: top-k 128 and nothing else.</summary>
    public AnnSettings Settings { get; init; } = new() { TopK = AnnContract.DefaultTopK };

    /// <summary>Context length in tokens that the file declares; nothing depends on it. Default 262144.</summary>
    public int ContextLength { get; init; } = 262144;

    /// <summary>Seed; the same options and seed give the same file. Default 0.</summary>
    public ulong Seed { get; init; }

    /// <summary>True replaces an existing file. Default false.</summary>
    public bool Overwrite { get; init; }
}
