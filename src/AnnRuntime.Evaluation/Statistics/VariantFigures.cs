namespace AnnRuntime.Evaluation;

/// <summary>The figures of one variant over all windows.</summary>
/// <param name="Variant">Its name.</param>
/// <param name="Selector">dense, exact, or the selector.</param>
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
        return [.. plan.Variants.Select(variant => One(variant, [.. byVariant[variant.Key]], dense, modelLayers, plan.Time))];
    }

    /// <summary>Mean negative log-likelihood over targets.</summary>
    internal static double MeanNll(IEnumerable<WindowResult> results) =>
        results.Sum(result => result.BlockNll.Sum()) / results.Sum(result => result.Targets);

    private static VariantFigures One(
        EvaluationVariant variant, IReadOnlyList<WindowResult> results, double? dense, IReadOnlyList<int> modelLayers, bool timed)
    {
        double nll = MeanNll(results);
        IReadOnlyList<WindowLayer> layers = MeanLayers(results);
        bool measured = layers.Any(layer => layer.Queries > 0);
        int targets = results.Sum(result => result.Targets);
        SearchOptions search = variant.Search;
        return new VariantFigures(
            variant.Name,
            variant.IsDense ? "dense" : search.Selector == CellSelector.Learned ? "exact" : search.Selector.ToString().ToLowerInvariant(),
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
            (targets + results.Count) / results.Sum(result => result.Seconds),
            timed && layers.Count > 0 ? layers.Average(layer => layer.SearchMicroseconds) : null,
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
                group.Average(layer => layer.SearchMicroseconds));
        }),
    ];
}
