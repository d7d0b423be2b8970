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
                nameof(Mode), value, $"Mode is {(int)value.Value}; it must be off (0), dense (1), exact (2) or hnsw (3).");
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

    /// <summary>Attention is full while the cache holds fewer cells than this. Default null: top-k.</summary>
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

    /// <summary>With mode hnsw, search is exact while the cache holds fewer cells than this. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int IndexMinContext
    {
        get;
        init => field = AtLeast(value, 0, nameof(IndexMinContext))!.Value;
    }

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
        EfSearch = native.Mode == (int)SearchMode.Hnsw ? native.EfSearch : null,
        IndexMinContext = native.IndexMinContext,
        Layers = layers,
    };

    private static int? AtLeast(int? value, int minimum, string name) =>
        value is null || value >= minimum
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be at least {minimum}.");
}
