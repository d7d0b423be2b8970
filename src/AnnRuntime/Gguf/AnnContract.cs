namespace AnnRuntime.Gguf;

/// <summary>Keys and tensor names by which a GGUF file carries search projections.</summary>
public static class AnnContract
{
    /// <summary>Cells attended per query when nothing says otherwise.</summary>
    public const int DefaultTopK = 128;

    /// <summary>Base of the rotation's angles when the file rotates and does not say.</summary>
    public const float DefaultRopeFrequencyBase = 10000;

    /// <summary>Searched layers, array of i32.</summary>
    public const string LayersKey = "ann_sparse.layers";

    /// <summary>Score by which cells are ranked: <c>cosine</c> (when absent) or <c>ip</c>.</summary>
    public const string MetricKey = "ann_sparse.metric";

    /// <summary>Dimensions of search query and search key that RoPE rotates, u32; 0 or absent: none.</summary>
    public const string RopeDimensionsKey = "ann_sparse.rope.dimension_count";

    /// <summary>Base of the rotation's angles, f32.</summary>
    public const string RopeFrequencyBaseKey = "ann_sparse.rope.freq_base";

    /// <summary>Last visible cells that are always attended, u32.</summary>
    public const string WindowKey = "ann_sparse.window";

    /// <summary>First visible cells that are always attended, u32.</summary>
    public const string SinksKey = "ann_sparse.sinks";

    /// <summary>Where the projections come from, free text.</summary>
    public const string CheckpointKey = "ann_sparse.checkpoint";

    /// <summary>How the projections were trained, free text, usually JSON.</summary>
    public const string ConfigKey = "ann_sparse.config";

    /// <summary>Search heads, u32, always 1.</summary>
    public static string HeadCountKey(string architecture) => $"{architecture}.attention.indexer.head_count";

    /// <summary>Elements of a search vector, u32.</summary>
    public static string KeyLengthKey(string architecture) => $"{architecture}.attention.indexer.key_length";

    /// <summary>Cells attended per query, u32.</summary>
    public static string TopKKey(string architecture) => $"{architecture}.attention.indexer.top_k";

    /// <summary>Projection of the search query, dimensions {n_embd, d_search}.</summary>
    public static string QueryTensor(int layer) => $"blk.{layer}.indexer.proj.weight";

    /// <summary>Projection of the search key, dimensions {n_embd, d_search}.</summary>
    public static string KeyTensor(int layer) => $"blk.{layer}.indexer.attn_k.weight";

    /// <summary>Every name under which a layer's query projection is accepted.</summary>
    internal static string[] QueryTensors(int layer) => [QueryTensor(layer), $"blk.{layer}.indexer.q_proj.weight"];

    /// <summary>Every name under which a layer's key projection is accepted.</summary>
    internal static string[] KeyTensors(int layer) => [KeyTensor(layer), $"blk.{layer}.indexer.k_proj.weight"];

    /// <summary>True for any tensor that belongs to the search.</summary>
    internal static bool IsSearchTensor(string name) => name.Contains(".indexer.", StringComparison.Ordinal);

    /// <summary>True for any key that belongs to the search.</summary>
    internal static bool IsSearchKey(string key, string architecture) =>
        key.StartsWith("ann_sparse.", StringComparison.Ordinal)
        || key.StartsWith($"{architecture}.attention.indexer.", StringComparison.Ordinal);
}
