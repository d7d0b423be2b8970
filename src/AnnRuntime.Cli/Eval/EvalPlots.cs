using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The pictures of a document, as SVG.</summary>
internal static class EvalPlots
{
    /// <summary>Every picture that the document has figures for.</summary>
    public static IEnumerable<string> Of(EvaluationDocument document)
    {
        if (document.Verb == "sweep" && document.Variants is { } variants)
        {
            VariantFigures[] searching = [.. variants.Where(row => row.TopK is not null)];
            yield return OverK("Perplexity gap against K", "perplexity above full attention, %", searching, row => row.GapPercent, linear: false);
            if (searching.Any(row => row.Mass is not null))
            {
                yield return OverK("Attention mass against K", "share of full attention on the chosen cells", searching, row => row.Mass, linear: true);
                foreach (string svg in searching.GroupBy(row => row.Selector).Select(MassMap))
                {
                    yield return svg;
                }
            }
        }

        if (document.Layers is { } layers)
        {
            yield return HeatMap.Render(
                "Attention mass of every layer", "layer", [.. layers.Select(layer => $"{layer.Layer}")],
                [
                    ("learned search", [.. layers.Select(layer => (double?)layer.Mass)]),
                    ("oracle (raw QK)", [.. layers.Select(layer => (double?)layer.OracleMass)]),
                    ("recall_teacher", [.. layers.Select(layer => (double?)layer.TeacherRecall)]),
                    ("oracle's recall_teacher", [.. layers.Select(layer => (double?)layer.OracleTeacherRecall)]),
                ]);
        }

        if (document.Coverage is { } coverage)
        {
            var plot = new SvgPlot("Coverage: gap against searching layers", "layers that search", "perplexity above full attention, %", linear: true);
            foreach (IGrouping<string, CoveragePoint> order in coverage.Where(point => point.Order is not ("none" or "all")).GroupBy(point => point.Order))
            {
                IEnumerable<CoveragePoint> ends = coverage.Where(point => point.Order is "none" or "all");
                plot.Add(order.Key, false, ends.Concat(order).Select(point => ((double)point.Layers.Count, point.GapPercent)));
            }

            plot.Add("Pareto front", true, coverage.Where(point => point.OnFront).Select(point => ((double)point.Layers.Count, point.GapPercent)));
            yield return plot.Render();
        }

        if (document.Tasks is { } tasks)
        {
            foreach (string svg in tasks.GroupBy(score => score.Variant).Select(TaskMap).Concat(
                tasks.Where(score => score.Answers.Any(answer => answer.Depth is not null)).GroupBy(score => (score.Task, score.Variant)).Select(DepthMap)))
            {
                yield return svg;
            }
        }

        if (document.Costs is { } costs)
        {
            yield return Cost("Choosing: multiply-adds per query and layer, by formula", "multiply-adds", costs, cost => cost.ScoringOperations);
            yield return Cost("Choosing and attending: bytes per query and layer, by formula", "bytes", costs, cost => cost.Bytes);
        }
    }

    private static string OverK(
        string title, string yTitle, IEnumerable<VariantFigures> rows, Func<VariantFigures, double?> value, bool linear)
    {
        var plot = new SvgPlot(title, "K, sinks and window included", yTitle, linear);
        foreach (IGrouping<string, VariantFigures> selector in rows.GroupBy(row => row.Selector))
        {
            plot.Add(selector.Key, false, selector.Where(row => value(row) is not null).Select(row => ((double)row.TopK!, value(row)!.Value)));
        }

        return plot.Render();
    }

    private static string MassMap(IGrouping<string, VariantFigures> selector)
    {
        int[] layers = [.. selector.SelectMany(row => row.Layers).Select(layer => layer.Layer).Distinct().Order()];
        return HeatMap.Render(
            $"Attention mass of every layer, {selector.Key}", "layer", [.. layers.Select(layer => $"{layer}")],
            [
                .. selector.Select(row => (
                    $"K = {row.TopK}",
                    (IReadOnlyList<double?>)[.. layers.Select(layer => row.Layers.FirstOrDefault(one => one.Layer == layer)?.Mass)])),
            ]);
    }

    private static string TaskMap(IGrouping<string, TaskScore> variant)
    {
        int[] lengths = [.. variant.Select(score => score.Length).Distinct().Order()];
        return HeatMap.Render(
            $"Tasks: {variant.Key}", "tokens", [.. lengths.Select(length => $"{length}")],
            [
                .. variant.GroupBy(score => score.Task).Select(task => (
                    task.Key,
                    (IReadOnlyList<double?>)[.. lengths.Select(length => task.FirstOrDefault(score => score.Length == length)?.Score / 100)])),
            ]);
    }

    private static string DepthMap(IGrouping<(string Task, string Variant), TaskScore> group)
    {
        int[] lengths = [.. group.Select(score => score.Length).Distinct().Order()];
        TaskAnswer[] all = [.. group.SelectMany(score => score.Answers)];
        return HeatMap.Render(
            $"{group.Key.Task} by depth and length: {group.Key.Variant}", "tokens", [.. lengths.Select(length => $"{length}")],
            [
                .. all.Select(answer => answer.Depth).OfType<double>().Distinct().Order().Select(depth => (
                    $"needle at {depth * 100:0} %",
                    (IReadOnlyList<double?>)[.. lengths.Select(length => Mean(group, length, depth))])),
            ]);
    }

    private static double? Mean(IEnumerable<TaskScore> scores, int length, double depth)
    {
        double[] values = [.. scores.Where(score => score.Length == length).SelectMany(score => score.Answers)
            .Where(answer => answer.Depth == depth).Select(answer => answer.Score / 100)];
        return values.Length == 0 ? null : values.Average();
    }

    private static string Cost(string title, string yTitle, IEnumerable<SelectorCost> costs, Func<SelectorCost, double> value)
    {
        var plot = new SvgPlot(title, "cells in the cache", yTitle);
        foreach (IGrouping<string, SelectorCost> selector in costs.GroupBy(cost => cost.Selector))
        {
            plot.Add(selector.Key, selector.Key == "full", selector.Select(cost => ((double)cost.Cells, value(cost))));
        }

        return plot.Render();
    }
}
