using System.Diagnostics;

namespace AnnRuntime.Evaluation;

/// <summary>Counts and times the choice of cells in caches of any size, filled at random.</summary>
/// <remarks>
/// Random search keys have no neighbourhoods: of an index they are the worst case. The pages are computed naively here, so
/// only what they compare is told, not how long it would take.
/// </remarks>
public static class ScalingProbe
{
    private const int PageCells = 16;

    /// <summary>Selectors that it measures.</summary>
    public static IReadOnlyList<string> Selectors { get; } = ["full", "exact", "hnsw", "pages"];

    /// <summary>Measures every selector in a cache of one size.</summary>
    /// <param name="model">A model with projections; figures are means over its searched layers.</param>
    /// <param name="options">Types and threads.</param>
    /// <param name="cells">Cells of the cache.</param>
    /// <param name="topK">K.</param>
    /// <param name="selectors">Some of <see cref="Selectors"/>.</param>
    /// <param name="queries">Queries of each, at least 1.</param>
    /// <param name="progress">Told the share done, 0..1.</param>
    /// <param name="cancellationToken">Stops it between queries.</param>
    /// <exception cref="ArgumentException">No projections, or fewer cells than K.</exception>
    /// <exception cref="AnnRuntimeException">The cache does not fit into memory.</exception>
    public static IReadOnlyList<ScalingPoint> Measure(
        AnnModel model, ContextOptions options, int cells, int topK, IReadOnlyList<string> selectors, int queries,
        Action<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(selectors);
        ArgumentOutOfRangeException.ThrowIfLessThan(queries, 1);
        if (!model.Info.HasSearch)
        {
            throw new ArgumentException($"{Path.GetFileName(model.Path)} has no search projections; there is no choice to measure.");
        }

        if (cells < topK)
        {
            throw new ArgumentException($"A cache of {cells} cells holds fewer than K = {topK}.", nameof(cells));
        }

        long start = Stopwatch.GetTimestamp();
        bool index = selectors.Contains("hnsw");
        using AnnContext context = model.CreateContext(options with
        {
            ContextLength = cells + queries,
            Search = Search(index ? "hnsw" : "exact", topK),
        });
        context.FillRandom(cells);
        double built = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var points = new List<ScalingPoint>();
        foreach (string selector in selectors)
        {
            cancellationToken.ThrowIfCancellationRequested();
            context.Search = Search(selector, topK);
            RetrievalStatistics timed = Decode(context, cells, queries, StatisticsKinds.Time, cancellationToken);
            double? recall = selector == "hnsw"
                ? Decode(context, cells, Math.Min(queries, 4), StatisticsKinds.Mass, cancellationToken).IndexRecall
                : null;
            points.Add(Point(selector, cells, queries, timed, model, recall, selector == "hnsw" ? built : null));
            progress?.Invoke((double)points.Count / selectors.Count);
        }

        return points;
    }

    private static SearchOptions Search(string selector, int topK) => new()
    {
        Mode = selector switch { "full" => SearchMode.Dense, "hnsw" => SearchMode.Hnsw, _ => SearchMode.Exact },
        Selector = selector == "pages" ? CellSelector.Pages : CellSelector.Learned,
        TopK = topK,
        MinContext = 0,
    };

    private static RetrievalStatistics Decode(
        AnnContext context, int cells, int queries, StatisticsKinds kinds, CancellationToken cancellationToken)
    {
        context.RemoveSequence(0, cells);
        context.Decode([1], cancellationToken); // a graph of this kind, before the clock runs
        context.RemoveSequence(0, cells);
        context.StartStatistics(kinds);
        for (int i = 0; i < queries; i++)
        {
            context.Decode([(i * 37 + 5) % 256], cancellationToken);
        }

        RetrievalStatistics statistics = context.GetStatistics();
        context.StartStatistics(StatisticsKinds.None);
        return statistics;
    }

    private static ScalingPoint Point(
        string selector, int cells, int queries, RetrievalStatistics statistics, AnnModel model, double? recall, double? built)
    {
        LayerRetrieval[] layers = [.. statistics.Layers.Where(layer => model.SearchedLayers.Contains(layer.Layer))];
        double keys = selector == "full" ? cells + (queries + 1) / 2.0 : layers.Average(layer => layer.Scored ?? 0);
        double compared = selector == "pages" ? 2 * Math.Ceiling(keys / PageCells) : keys;
        (double operations, double bytes) = SelectorCost.Comparing(selector, compared, model.Info);
        return new ScalingPoint(
            selector,
            cells,
            queries,
            compared,
            operations,
            bytes,
            layers.Average(layer => layer.SearchTime.TotalMicroseconds) / queries,
            layers.Average(layer => layer.AttentionTime.TotalMicroseconds) / queries,
            recall,
            built);
    }
}
