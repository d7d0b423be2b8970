using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Which cells a query attends to in a searched layer.</summary>
/// <remarks>
/// Counts are cells per query, per layer. Reserved layers ignore them. A member that is null takes the model file's
/// value. Mirrors <c>ann_search_params</c>.
/// </remarks>
public sealed record SearchOptions
{
    /// <summary>How cells are chosen. Default null: exact for a model with search projections, else off.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public SearchMode? Mode
    {
        get;
        init => field = value is null || Enum.IsDefined(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Mode), value, $"Mode is {(int)value.Value}; it must be off (0), dense (1), exact (2), hnsw (3) or auto (4).");
    }

    /// <summary>All cells attended to, sinks and window included. Default null: the file's K.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? TopK
    {
        get;
        init => field = AtLeast(value, 1, nameof(TopK));
    }

    /// <summary>First visible cells, always attended. Default null: the file's number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? Sinks
    {
        get;
        init => field = AtLeast(value, 0, nameof(Sinks));
    }

    /// <summary>Last visible cells, always attended. Default null: the file's number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? Window
    {
        get;
        init => field = AtLeast(value, 0, nameof(Window));
    }

    /// <summary>What the tokens of a prompt attend to. Default sparse.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public PrefillMode Prefill
    {
        get;
        init => field = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Prefill), value, $"Prefill is {(int)value}; it must be sparse (0) or dense (1).");
    } = PrefillMode.Sparse;

    /// <summary>
    /// Attention is full while the cache holds fewer cells than this, which in a context of several sequences are counted in
    /// steps of 256. Default null: top-k.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? MinContext
    {
        get;
        init => field = AtLeast(value, 0, nameof(MinContext));
    }

    /// <summary>What chooses the cells. Default learned: the projections. The others are for comparison, slow, on the CPU.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a member of the enum.</exception>
    public CellSelector Selector
    {
        get;
        init => field = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Selector), value, $"Selector is {(int)value}; it must be in 0..{(int)CellSelector.Random}.");
    }

    /// <summary>Seed of selectors with random parts. Default 0.</summary>
    public int Seed { get; init; }

    /// <summary>Cells from here on are found only in the window, as if an index had stopped growing. Default 0: all are.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int FrozenCells
    {
        get;
        init => field = AtLeast(value, 0, nameof(FrozenCells))!.Value;
    }

    /// <summary>Searched layers, a subset of the file's. Default null: all of the file's. Empty: none.</summary>
    public IReadOnlyList<int>? Layers { get; init; }

    /// <summary>
    /// Cells that a search by index keeps in view, at least top-k: more finds more and takes longer. Default null: 320, or
    /// top-k where that is more.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? EfSearch
    {
        get;
        init => field = AtLeast(value, 1, nameof(EfSearch));
    }

    /// <summary>
    /// Search is exact while the cache holds fewer cells than this. Default 0: mode auto measures the depth
    /// (<see cref="IndexCalibration"/>), mode hnsw has none.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int IndexMinContext
    {
        get;
        init => field = AtLeast(value, 0, nameof(IndexMinContext))!.Value;
    }

    /// <summary>Links of a cell in the index. Default null: 16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 2..128.</exception>
    public int? IndexLinks
    {
        get;
        init => field = Between(value, 2, 128, nameof(IndexLinks));
    }

    /// <summary>Cells kept in view while one enters the index: more makes a better graph, slower. Default null: 200.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 1..4096.</exception>
    public int? IndexEfConstruction
    {
        get;
        init => field = Between(value, 1, 4096, nameof(IndexEfConstruction));
    }

    /// <summary>
    /// Graphs that a layer's index is split into: one thread searches each, and as many threads insert while the context is
    /// idle. Default null: physical cores, at most 8.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 1..64.</exception>
    public int? IndexThreads
    {
        get;
        init => field = Between(value, 1, 64, nameof(IndexThreads));
    }

    /// <summary>
    /// Cells enter the index inside the decode that writes them, which makes prompts slower, instead of while the context is
    /// idle. Default false.
    /// </summary>
    public bool IndexEager { get; init; }

    /// <summary>Memory of the index in bytes; layers beyond it search exactly. Default 0: no limit.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public long IndexMaxBytes
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(IndexMaxBytes), value, $"IndexMaxBytes is {value}; it must be at least 0.");
    }

    /// <summary>Saved states carry the index, so that it need not be built again. Default true.</summary>
    public bool IndexInState { get; init; } = true;

    /// <summary>The native form, layers apart.</summary>
    internal AnnSearchParams ToNative()
    {
        AnnSearchParams native = AnnSearchParams.Default();
        if (Mode is { } mode)
        {
            native.Mode = (int)mode;
        }

        native.TopK = TopK ?? 0;
        native.NSink = Sinks ?? -1;
        native.NWindow = Window ?? -1;
        native.Prefill = (int)Prefill;
        native.MinContext = MinContext ?? -1;
        native.Selector = (int)Selector;
        native.Seed = Seed;
        native.NFrozen = FrozenCells;
        native.EfSearch = EfSearch ?? 0;
        native.IndexMinContext = IndexMinContext;
        native.IndexM = IndexLinks ?? 0;
        native.IndexEfConstruction = IndexEfConstruction ?? 0;
        native.IndexThreads = IndexThreads ?? 0;
        native.IndexEager = IndexEager ? 1 : 0;
        native.IndexMaxBytes = (ulong)IndexMaxBytes;
        native.IndexInState = IndexInState ? 1 : 0;
        return native;
    }

    /// <summary>From the native form, as resolved: nothing is null.</summary>
    internal static SearchOptions FromNative(in AnnSearchParams native, int[] layers) => new()
    {
        Mode = (SearchMode)native.Mode,
        TopK = native.TopK > 0 ? native.TopK : null,
        Sinks = Math.Max(0, native.NSink),
        Window = Math.Max(0, native.NWindow),
        Prefill = (PrefillMode)native.Prefill,
        MinContext = Math.Max(0, native.MinContext),
        Selector = (CellSelector)native.Selector,
        Seed = native.Seed,
        FrozenCells = native.NFrozen,
        EfSearch = native.Mode is (int)SearchMode.Hnsw or (int)SearchMode.Auto ? native.EfSearch : null,
        IndexMinContext = native.IndexMinContext,
        IndexLinks = native.IndexM > 0 ? native.IndexM : null,
        IndexEfConstruction = native.IndexEfConstruction > 0 ? native.IndexEfConstruction : null,
        IndexThreads = native.IndexThreads > 0 ? native.IndexThreads : null,
        IndexEager = native.IndexEager != 0,
        IndexMaxBytes = (long)native.IndexMaxBytes,
        IndexInState = native.IndexInState != 0,
        Layers = layers,
    };

    private static int? Between(int? value, int minimum, int maximum, string name) =>
        value is null || (value >= minimum && value <= maximum)
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be in {minimum}..{maximum}.");

    private static int? AtLeast(int? value, int minimum, string name) =>
        value is null || value >= minimum
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be at least {minimum}.");
}
