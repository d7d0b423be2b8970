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
            bool measured = searching.Any(row => row.Mass is not null);
            if (searching.Select(row => row.TopK).Distinct().Count() > 1)
            {
                yield return OverK("Perplexity gap against K", "perplexity above full attention, %", searching, row => row.GapPercent, linear: false);
                if (measured)
                {
                    yield return OverK("Attention mass against K", "share of full attention on the chosen cells", searching, row => row.Mass, linear: true);
                }
            }

            if (measured)
            {
                yield return MassMap(searching);
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
            yield return OverLayers(
                "Coverage: perplexity gap against searching layers", "perplexity above full attention, %", coverage, point => point.GapPercent, true);
            yield return OverLayers(
                "Coverage: decode speed against searching layers", "tokens/s, one by one behind a full window", coverage,
                point => point.DecodeTokensPerSecond, false);
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
            IReadOnlyList<ScalingPoint> measured = document.Scaling ?? [];
            yield return Cost(
                "Choosing: multiply-adds per query and layer", "multiply-adds", costs, cost => cost.ScoringOperations,
                measured, point => point.ScoringOperations);
            yield return Cost(
                "Choosing: bytes compared per query and layer", "bytes", costs.Where(cost => cost.Selector != "full"), cost => cost.ScoringBytes,
                measured, point => point.ScoringBytes);
            yield return Cost("Choosing and attending: bytes per query and layer, by formula", "bytes", costs, cost => cost.Bytes, [], _ => 0);
            if (measured.Count > 0)
            {
                var plot = new SvgPlot("Choosing and attending: time per query and layer, measured", "cells in the cache", "microseconds");
                foreach (IGrouping<string, ScalingPoint> selector in measured.Where(point => point.Selector != "pages").GroupBy(point => point.Selector))
                {
                    plot.Add(
                        selector.Key, selector.Key == "full",
                        selector.Select(point => ((double)point.Cells, point.ChoiceMicroseconds + point.AttentionMicroseconds)), Color(selector.Key));
                }

                yield return plot.Render();
            }
        }
    }

    private static string OverLayers(
        string title, string yTitle, IReadOnlyList<CoveragePoint> points, Func<CoveragePoint, double> value, bool front)
    {
        var plot = new SvgPlot(title, "layers that search", yTitle, linear: true, linearX: true);
        CoveragePoint[] ends = [.. points.Where(point => point.Order is "none" or "all")];
        foreach (IGrouping<string, CoveragePoint> order in points.Except(ends).GroupBy(point => point.Order))
        {
            plot.Add(order.Key, false, ends.Concat(order).Select(point => ((double)point.Layers.Count, value(point))));
        }

        if (front)
        {
            plot.Add("Pareto front", true, points.Where(point => point.OnFront).Select(point => ((double)point.Layers.Count, value(point))));
        }

        return plot.Render();
    }

    private static string OverK(
        string title, string yTitle, IReadOnlyList<VariantFigures> rows, Func<VariantFigures, double?> value, bool linear)
    {
        string above = !linear && rows.Any(row => value(row) <= 0) ? " (only what is above 0)" : "";
        var plot = new SvgPlot(title + above, "K, sinks and window included", yTitle, linear);
        foreach (IGrouping<string, VariantFigures> selector in rows.GroupBy(row => row.Selector))
        {
            plot.Add(
                selector.Key, false,
                selector.Where(row => value(row) is not null).Select(row => ((double)row.TopK!, value(row)!.Value)), Color(selector.Key));
        }

        return plot.Render();
    }

    // a selector has one color in all plots
    private static int Color(string selector) => SelectorCost.Known.Append(selector).Index().First(pair => pair.Item == selector).Index;

    private static string MassMap(IReadOnlyList<VariantFigures> rows)
    {
        int[] layers = [.. rows.SelectMany(row => row.Layers).Select(layer => layer.Layer).Distinct().Order()];
        return HeatMap.Render(
            "Attention mass of every layer", "layer", [.. layers.Select(layer => $"{layer}")],
            [
                .. rows.Select(row => (
                    row.Variant,
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

    private static string Cost(
        string title, string yTitle, IEnumerable<SelectorCost> costs, Func<SelectorCost, double> value,
        IEnumerable<ScalingPoint> measured, Func<ScalingPoint, double> counted)
    {
        var plot = new SvgPlot(title, "cells in the cache", yTitle);
        foreach (IGrouping<string, SelectorCost> selector in costs.GroupBy(cost => cost.Selector))
        {
            plot.Add(selector.Key, false, selector.Select(cost => ((double)cost.Cells, value(cost))), Color(selector.Key));
        }

        foreach (IGrouping<string, ScalingPoint> selector in measured.GroupBy(point => point.Selector))
        {
            plot.Add($"{selector.Key}, counted", true, selector.Select(point => ((double)point.Cells, counted(point))), Color(selector.Key));
        }

        return plot.Render();
    }
}
