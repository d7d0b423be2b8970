namespace AnnRuntime.Gguf;

/// <summary>How search projections are merged into a model.</summary>
public sealed record MergeOptions
{
    /// <summary>
    /// Layers to take, as <see cref="LayerList"/> reads them. Default null: every layer of the projections.
    /// </summary>
    public string? Layers { get; init; }

    /// <summary>Settings that override those of the projections file. Default: none.</summary>
    public AnnSettings Settings { get; init; } = new();

    /// <summary>True replaces an existing output file. Default false.</summary>
    public bool Overwrite { get; init; }
}
