namespace AnnRuntime.Evaluation;

/// <summary>The figures of one variant over all windows.</summary>
/// <param name="Variant">Its name.</param>
/// <param name="Selector">dense, or one of <see cref="EvaluationVariant.Selectors"/>.</param>
/// <param name="TopK">Cells attended to, sinks and window included; null for full attention.</param>
/// <param name="Sinks">First cells, always attended to; null for full attention.</param>
/// <param name="Window">Last cells, always attended to; null for full attention.</param>
/// <param name="SearchedLayers">Layers that search.</param>
/// <param name="Windows">Windows.</param>
/// <param name="Targets">Predicted tokens.</param>
/// <param name="Nll">Mean negative log-likelihood, in nats.</param>
/// <param name="Perplexity">exp of it.</param>
/// <param name="GapPercent">Perplexity above the variant dense of the same run, in percent; null without one.</param>
/// <param name="Mass">Mean attention mass over the layers; null when not measured.</param>
/// <param name="TeacherRecall">Mean teacher recall over the layers; null when not measured.</param>
/// <param name="IndexRecall">Mean share of the exact search's cells that an index found; null without an index or not measured.</param>
/// <param name="Compared">Mean search keys that a query was compared with; null for selectors without search keys or not measured.</param>
/// <param name="TokensPerSecond">Tokens of the windows by their time, measuring included.</param>
/// <param name="SearchMicroseconds">Time of the choice per query and layer; null when not timed.</param>
/// <param name="Layers">Layer by layer; empty when not measured.</param>
public sealed record VariantFigures(
    string Variant,
    string Selector,
    int? TopK,
    int? Sinks,
    int? Window,
    IReadOnlyList<int> SearchedLayers,
    int Windows,
    int Targets,
    double Nll,
    double Perplexity,
    double? GapPercent,
    double? Mass,
    double? TeacherRecall,
    double? IndexRecall,
    double? Compared,
    double TokensPerSecond,
    double? SearchMicroseconds,
    IReadOnlyList<WindowLayer> Layers)
{
    /// <summary>Sums the windows of every variant up, in the order of the plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="results">Its results.</param>
    /// <param name="modelLayers">Layers with projections.</param>
    public static IReadOnlyList<VariantFigures> From(
        EvaluationPlan plan, IReadOnlyList<WindowResult> results, IReadOnlyList<int> modelLayers)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ILookup<string, WindowResult> byVariant = results.ToLookup(result => result.Variant);
        double? dense = plan.Variants.Any(variant => variant.IsDense)
            ? MeanNll(byVariant[EvaluationVariant.Dense.Key])
            : null;
        return [.. plan.Variants.Select(variant => One(plan, variant, [.. byVariant[variant.Key]], dense, modelLayers))];
    }

    /// <summary>Mean negative log-likelihood over targets.</summary>
    internal static double MeanNll(IEnumerable<WindowResult> results) =>
        results.Sum(result => result.BlockNll.Sum()) / results.Sum(result => result.Targets);

    private static VariantFigures One(
        EvaluationPlan plan, EvaluationVariant variant, IReadOnlyList<WindowResult> results, double? dense, IReadOnlyList<int> modelLayers)
    {
        double nll = MeanNll(results);
        IReadOnlyList<WindowLayer> layers = MeanLayers(results);
        bool measured = layers.Any(layer => layer.Queries > 0);
        int targets = results.Sum(result => result.Targets);
        SearchOptions search = variant.Search;
        return new VariantFigures(
            variant.Name,
            variant.SelectorName,
            variant.IsDense ? null : search.TopK,
            variant.IsDense ? null : search.Sinks,
            variant.IsDense ? null : search.Window,
            variant.IsDense ? [] : search.Layers ?? modelLayers,
            results.Count,
            targets,
            nll,
            Math.Exp(nll),
            dense is { } full ? 100 * (Math.Exp(nll - full) - 1) : null,
            measured ? layers.Average(layer => layer.Mass) : null,
            measured ? layers.Average(layer => layer.TeacherRecall) : null,
            measured ? layers.Average(layer => layer.IndexRecall) : null,
            measured ? layers.Average(layer => layer.Compared) : null,
            (double)plan.Windows.Length * results.Count / results.Sum(result => result.Seconds),
            plan.Time && layers.Count > 0 ? layers.Average(layer => layer.SearchMicroseconds) : null,
            layers);
    }

    private static IReadOnlyList<WindowLayer> MeanLayers(IReadOnlyList<WindowResult> results) =>
    [
        .. results.SelectMany(result => result.Layers).GroupBy(layer => layer.Layer).OrderBy(group => group.Key).Select(group =>
        {
            double queries = Math.Max(1, group.Sum(layer => layer.Queries));
            return new WindowLayer(
                group.Key,
                group.Sum(layer => layer.Queries),
                group.Sum(layer => layer.Mass * layer.Queries) / queries,
                group.Sum(layer => layer.TeacherRecall * layer.Queries) / queries,
                group.Average(layer => layer.SearchMicroseconds),
                Mean(group, layer => layer.IndexRecall),
                Mean(group, layer => layer.Compared));
        }),
    ];

    private static double? Mean(IEnumerable<WindowLayer> windows, Func<WindowLayer, double?> value) =>
        windows.All(layer => value(layer) is not null)
            ? windows.Sum(layer => value(layer) * layer.Queries) / Math.Max(1, windows.Sum(layer => layer.Queries))
            : null;
}
