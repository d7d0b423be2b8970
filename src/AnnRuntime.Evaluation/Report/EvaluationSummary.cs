using System.Globalization;

namespace AnnRuntime.Evaluation;

/// <summary>What a folder of evaluations says, in sentences.</summary>
public static class EvaluationSummary
{
    /// <summary>A sentence or more of every document, each behind the document's name.</summary>
    /// <param name="documents">The documents by name.</param>
    public static IReadOnlyList<string> Of(IReadOnlyList<(string Name, EvaluationDocument Document)> documents)
    {
        ArgumentNullException.ThrowIfNull(documents);
        return [.. documents.SelectMany(pair => Sentences(pair.Document).Select(sentence => $"{pair.Name}: {sentence}"))];
    }

    private static IEnumerable<string> Sentences(EvaluationDocument document) => document switch
    {
        { Layers: { } layers } => [Layers(layers, document.Reserve ?? [])],
        { Coverage: { } coverage } => [Coverage(coverage)],
        { Pairs: { } pairs } => pairs.Select(Pair),
        { Divergence: { } divergence } => divergence.Select(Divergence),
        { Tasks: { } tasks } => Tasks(tasks),
        { Scaling: { } scaling } => Scaling(scaling),
        { Verb: "dynamic", Variants: { } variants } => Dynamic(variants),
        { Variants: { } variants } => Gaps(variants),
        _ => [],
    };

    private static IEnumerable<string> Gaps(IReadOnlyList<VariantFigures> variants)
    {
        if (variants.FirstOrDefault(row => row.Selector == "dense") is { } dense)
        {
            yield return Text($"full attention has perplexity {dense.Perplexity:0.####} on {dense.Targets} targets.");
        }

        foreach (IGrouping<string, VariantFigures> selector in variants.Where(row => row.GapPercent is not null && row.TopK is not null)
            .GroupBy(row => row.Selector))
        {
            string gaps = string.Join(", ", selector.Select(row => Text($"{EvaluationTables.Signed(row.GapPercent, 2)} % at K = {row.TopK}")));
            yield return $"{selector.Key} costs {gaps}.";
        }
    }

    private static string Layers(IReadOnlyList<LayerAdvice> layers, IReadOnlyList<int> reserve) => Text(
        $"mean mass {layers.Average(layer => layer.Mass):0.000}, the oracle's {layers.Average(layer => layer.OracleMass):0.000}; ")
        + (layers.Any(layer => layer.Weak) ? $"weak: {string.Join(", ", layers.Where(layer => layer.Weak).Select(layer => layer.Layer))}; " : "none is weak; ")
        + (reserve.Count == 0 ? "none has to be reserved." : $"proposed reserve: {string.Join(", ", reserve)}.");

    private static string Coverage(IReadOnlyList<CoveragePoint> points)
    {
        CoveragePoint all = points.MaxBy(point => point.Layers.Count)!;
        CoveragePoint best = points.Where(point => point.Layers.Count > 0).MinBy(point => point.GapPercent)!;
        return Text(
            $"all {all.Layers.Count} layers cost {EvaluationTables.Signed(all.GapPercent, 2)} %; the smallest gap is {EvaluationTables.Signed(best.GapPercent, 2)} %, {best.Layers.Count} layers, {best.Order}.");
    }

    private static string Pair(PairedComparison pair) => pair.Verdict switch
    {
        "a" => Text($"{pair.A} is better than {pair.B} by {-pair.NllDifference.Mean:0.00000} nats a token {Range(-pair.NllDifference.High, -pair.NllDifference.Low)}."),
        "b" => Text($"{pair.B} is better than {pair.A} by {pair.NllDifference.Mean:0.00000} nats a token {Range(pair.NllDifference.Low, pair.NllDifference.High)}."),
        _ => Text($"no difference shown between {pair.A} and {pair.B} ({pair.NllDifference.Mean:+0.00000;-0.00000} nats a token {Range(pair.NllDifference.Low, pair.NllDifference.High)})."),
    };

    private static string Divergence(DivergenceFigures row) => Text(
        $"{row.Variant} has a mean divergence of {row.MeanKl.Mean:0.0000} nats; the most likely token is the same for {row.SameTopPercent:0.0} %.");

    private static IEnumerable<string> Dynamic(IReadOnlyList<VariantFigures> variants) =>
        [$"mass {string.Join(", ", variants.Where(row => row.Mass is not null).Select(row => Text($"{row.Mass:0.000} ({row.Variant})")))}."];

    private static IEnumerable<string> Tasks(IReadOnlyList<TaskScore> tasks) => tasks.GroupBy(score => score.Variant).Select(variant => Text(
        $"{variant.Key} scores {variant.Average(score => score.Score):0.0} over {variant.Count()} tasks and lengths, {variant.Sum(score => score.Samples)} prompts."));

    private static IEnumerable<string> Scaling(IReadOnlyList<ScalingPoint> points)
    {
        foreach (IGrouping<long, ScalingPoint> size in points.GroupBy(point => point.Cells).TakeLast(1))
        {
            yield return $"at {size.Key} cells a query compares "
                + string.Join(", ", size.Select(point => Text($"{point.Compared:0} ({point.Selector})"))) + ".";
        }
    }

    private static string Range(double low, double high) => Text($"[{low:0.00000}, {high:0.00000}]");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
