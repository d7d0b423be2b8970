using System.Globalization;

namespace AnnRuntime.Evaluation;

/// <summary>One way of attending that is compared with others.</summary>
/// <param name="Name">In tables and JSON, unique in a run.</param>
/// <param name="Search">The search, with every member that matters set; mode dense is full attention.</param>
public sealed record EvaluationVariant(string Name, SearchOptions Search)
{
    /// <summary>Full attention.</summary>
    public static EvaluationVariant Dense { get; } = new("dense", new SearchOptions { Mode = SearchMode.Dense });

    /// <summary>Names that <see cref="Parse"/> knows, besides dense.</summary>
    public static IReadOnlyList<string> Selectors { get; } =
        ["exact", "hnsw", .. Enum.GetNames<CellSelector>().Skip(1).Select(name => name.ToLowerInvariant())];

    /// <summary>Whether it is full attention.</summary>
    public bool IsDense => Search.Mode == SearchMode.Dense;

    /// <summary>Makes the variant of a text: <c>dense</c>, or a selector with its K, <c>exact:128</c>.</summary>
    /// <param name="text">dense, exact (the learned search), hnsw (the same by an index), oracle, pages, recent, bigbird, lsh or random, and :K.</param>
    /// <param name="model">Its values stand in for K, sinks and window where none are given.</param>
    /// <param name="shared">Sinks, window, layers, seed of every variant.</param>
    /// <exception cref="ArgumentException">No such selector, K is no number of at least 1, or the model has no search projections.</exception>
    public static EvaluationVariant Parse(string text, ModelInfo model, SearchOptions shared)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(shared);
        if (text == "dense")
        {
            return Dense;
        }

        string[] parts = text.Split(':');
        if (parts.Length > 2 || !Selectors.Contains(parts[0]))
        {
            throw new ArgumentException(
                $"The variant is '{text}'; it must be dense or one of {string.Join(", ", Selectors)}, and may end with :K.");
        }

        int k = model.TopK;
        if (parts.Length == 2
            && (!int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out k) || k < 1))
        {
            throw new ArgumentException($"The variant is '{text}'; its K must be a whole number of at least 1.");
        }

        return Create(parts[0], k, model, shared);
    }

    /// <summary>A selector with a K.</summary>
    /// <remarks>
    /// Where K has no room for the sinks and the window of file or <paramref name="shared"/>, an eighth of K are sinks
    /// and a quarter window at most.
    /// </remarks>
    /// <param name="selector">One of <see cref="Selectors"/>.</param>
    /// <param name="k">At least 1.</param>
    /// <param name="model">Sinks and window where <paramref name="shared"/> has none.</param>
    /// <param name="shared">Sinks, window, layers, seed, breadth of the index's search.</param>
    /// <exception cref="ArgumentException">The model has no search projections.</exception>
    public static EvaluationVariant Create(string selector, int k, ModelInfo model, SearchOptions shared)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(shared);
        if (!model.HasSearch)
        {
            throw new ArgumentException(
                $"The variant '{selector}' searches, but the model has no search projections. Only the variant dense works with it.");
        }

        int sinks = shared.Sinks ?? model.Sinks;
        int window = shared.Window ?? model.Window;
        if (sinks + window > k)
        {
            sinks = Math.Min(sinks, k / 8);
            window = Math.Min(window, k / 4);
        }

        CellSelector chosen = selector is "exact" or "hnsw" ? CellSelector.Learned : Enum.Parse<CellSelector>(selector, ignoreCase: true);
        return new EvaluationVariant($"{selector} K={k}", shared with
        {
            Mode = selector == "hnsw" ? SearchMode.Hnsw : SearchMode.Exact,
            EfSearch = selector == "hnsw" ? shared.EfSearch : null,
            IndexEager = selector == "hnsw", // queries follow the prompt at once: no idle time in which cells could enter
            Selector = chosen,
            TopK = k,
            Sinks = sinks,
            Window = window,
            MinContext = 0,
        });
    }

    /// <summary>The variant in layers only, with a name that says so.</summary>
    /// <param name="layers">Searched layers.</param>
    /// <param name="name">The name.</param>
    public EvaluationVariant In(IReadOnlyList<int> layers, string name) => new(name, Search with { Layers = layers });

    /// <summary>dense, or one of <see cref="Selectors"/>.</summary>
    public string SelectorName => Search.Mode switch
    {
        SearchMode.Dense => "dense",
        SearchMode.Hnsw => "hnsw",
        _ => Search.Selector == CellSelector.Learned ? "exact" : Search.Selector.ToString().ToLowerInvariant(),
    };

    /// <summary>Everything that decides the figures, as text.</summary>
    public string Key => IsDense
        ? "dense"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{Search.Selector} {Search.Mode} k={Search.TopK} sinks={Search.Sinks} window={Search.Window} prefill={Search.Prefill} min={Search.MinContext} seed={Search.Seed} frozen={Search.FrozenCells} layers={(Search.Layers is null ? "all" : string.Join('+', Search.Layers))}{(Search.Mode == SearchMode.Hnsw ? $" ef={Search.EfSearch}" : "")}");
}
