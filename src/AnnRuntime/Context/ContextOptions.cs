using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>How a context is created. Mirrors <c>ann_context_params</c>.</summary>
public sealed record ContextOptions
{
    /// <summary>Cells in all, rounded up to 256. Default null: the model's training length.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? ContextLength
    {
        get;
        init => field = value is null ? null : AtLeast(value.Value, 1, nameof(ContextLength));
    }

    /// <summary>Most tokens of one decode. Default 2048.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int BatchSize
    {
        get;
        init => field = AtLeast(value, 1, nameof(BatchSize));
    } = 2048;

    /// <summary>Tokens of one graph. Default 512.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int UbatchSize
    {
        get;
        init => field = AtLeast(value, 1, nameof(UbatchSize));
    } = 512;

    /// <summary>Sequences, 1 to 256. Default 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 1..256.</exception>
    public int MaxSequences
    {
        get;
        init => field = value is >= 1 and <= 256
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(MaxSequences), value, $"MaxSequences is {value}; it must be in 1..256.");
    } = 1;

    /// <summary>Threads of decode. Default 0: physical cores.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int Threads
    {
        get;
        init => field = AtLeast(value, 0, nameof(Threads));
    }

    /// <summary>Threads of prefill. Default 0: as <see cref="Threads"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int BatchThreads
    {
        get;
        init => field = AtLeast(value, 0, nameof(BatchThreads));
    }

    /// <summary>Flash attention. Default null: the library decides.</summary>
    public bool? FlashAttention { get; init; }

    /// <summary>True (default): sequences share the cells. False: each has its own stream of length / sequences.</summary>
    public bool UnifiedCache { get; init; } = true;

    /// <summary>Keeps K and V on the device of their layer. Default true. False: on the host, where attention is then computed.</summary>
    public bool OffloadCache { get; init; } = true;

    /// <summary>Where search keys are kept, for the life of the context. Default: with K and V, on the host for mode Hnsw.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public SearchMemory SearchMemory
    {
        get;
        init => field = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(SearchMemory), value, $"SearchMemory is {(int)value}; it must be auto (0), device (1) or host (2).");
    }

    /// <summary>Embeddings instead of logits. Default false.</summary>
    public bool Embeddings { get; init; }

    /// <summary>What becomes of the embeddings of a sequence's tokens. Default null: what the file says, none where it says nothing.</summary>
    /// <remarks>
    /// With a pooling a decode holds whole sequences of at most <see cref="UbatchSize"/> tokens in all.
    /// <see cref="EmbeddingEngine"/> pools longer ones.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public Pooling? Pooling
    {
        get;
        init => field = value is null || Enum.IsDefined(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Pooling), value, $"Pooling is {(int)value.Value}; it must be none (0), mean (1), cls (2) or last (3).");
    }

    /// <summary>Refuses to create a context whose estimate exceeds the free memory. Default true.</summary>
    public bool CheckMemory { get; init; } = true;

    /// <summary>Format of K. Default f16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public CacheType KeyType
    {
        get;
        init => field = Defined(value, nameof(KeyType));
    } = CacheType.F16;

    /// <summary>Format of V. Default f16. Quantised formats need flash attention.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public CacheType ValueType
    {
        get;
        init => field = Defined(value, nameof(ValueType));
    } = CacheType.F16;

    /// <summary>Format of the search keys: f16 (default), f32 or q8_0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Another format.</exception>
    public CacheType SearchKeyType
    {
        get;
        init => field = value is CacheType.F16 or CacheType.F32 or CacheType.Q8_0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(SearchKeyType), value, $"SearchKeyType is {value}; search keys are kept as F16, F32 or Q8_0.");
    } = CacheType.F16;

    /// <summary>The search. Default: the file's values.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public SearchOptions Search
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(Search));
    } = new();

    /// <summary>The native form, layers apart.</summary>
    internal AnnContextParams ToNative()
    {
        AnnContextParams native = AnnContextParams.Default();
        native.NCtx = (uint)(ContextLength ?? 0);
        native.NBatch = (uint)BatchSize;
        native.NUbatch = (uint)Math.Min(UbatchSize, BatchSize);
        native.NSeqMax = (uint)MaxSequences;
        native.NThreads = Threads;
        native.NThreadsBatch = BatchThreads;
        native.FlashAttention = FlashAttention is { } flash ? (flash ? 1 : 0) : -1;
        native.KvUnified = UnifiedCache ? 1 : 0;
        native.OffloadKqv = OffloadCache ? 1 : 0;
        native.SearchMemory = (int)SearchMemory;
        native.Embeddings = Embeddings ? 1 : 0;
        native.CheckMemory = CheckMemory ? 1 : 0;
        native.Pooling = Pooling is { } pooling ? (int)pooling : -1;
        native.SetTypes(Name(KeyType), Name(ValueType), Name(SearchKeyType));
        native.Search = Search.ToNative();
        return native;
    }

    /// <summary>Searched layers as an array, null for all.</summary>
    internal int[]? LayerArray => Search.Layers?.ToArray();

    private static string Name(CacheType type) => type.ToString().ToLowerInvariant();

    private static int AtLeast(int value, int minimum, string name) =>
        value >= minimum
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be at least {minimum}.");

    private static CacheType Defined(CacheType value, string name) =>
        Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {(int)value}; it is no cache type.");
}
