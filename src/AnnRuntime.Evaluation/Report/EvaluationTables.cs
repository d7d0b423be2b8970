using System.Globalization;

namespace AnnRuntime.Evaluation;

/// <summary>The tables of a document.</summary>
public static class EvaluationTables
{
    /// <summary>Every table that the document has figures for.</summary>
    /// <param name="document">The document.</param>
    public static IEnumerable<EvaluationTable> Of(EvaluationDocument document)
    {
        ArgumentNullException.ThrowIfNull(document);
        string where = Where(document);
        if (document.Layers is { } layers)
        {
            yield return Layers($"layers: {where}", layers, document.Reserve ?? []);
        }

        if (document.Coverage is { } coverage)
        {
            yield return CoverageOf($"coverage: {where}", coverage);
        }

        if (document.Pairs is { } pairs)
        {
            yield return Pairs($"paired: {where}", pairs);
        }

        if (document.Divergence is { } divergence)
        {
            yield return Divergence($"divergence from full attention: {where}", divergence);
        }

        if (document.Tasks is { } tasks)
        {
            yield return Tasks($"tasks: {where}", tasks);
        }

        if (document.Variants is { } variants && document.Verb != "layers" && document.Verb != "coverage")
        {
            yield return document.Verb == "dynamic"
                ? Masses($"dynamic: {where}", variants)
                : Variants($"{document.Verb}: {where}", variants);
        }

        if (document.Scaling is { } scaling)
        {
            yield return Scaling($"scaling, measured: {document.Model}, {document.Machine}", scaling);
        }

        if (document.Costs is { } costs)
        {
            yield return Costs("cost of one query in one layer, by formula", costs);
        }
    }

    private static string Where(EvaluationDocument document)
    {
        string model = document.Against is { } other ? $"{document.Model} and {other}" : document.Model;
        if (document.WindowLength is null)
        {
            return model;
        }

        string packed = document.Documents is { } documents ? $", {documents} segments that do not see each other" : "";
        string generated = document.Generated is { } last ? $", the last {last} of each one by one" : "";
        return $"{model}, {document.Windows} windows of {document.WindowLength} tokens of {document.Text}{packed}{generated}";
    }

    /// <summary>A number with digits behind the point, in no language.</summary>
    public static string Number(double? value, int digits) =>
        value is { } number ? number.ToString("F" + digits, CultureInfo.InvariantCulture) : "-";

    /// <summary>A difference: with its sign.</summary>
    public static string Signed(double? value, int digits) =>
        value is { } number ? (number < 0 ? "" : "+") + number.ToString("F" + digits, CultureInfo.InvariantCulture) : "-";

    /// <summary>A count with a unit of a thousand, a million, ...</summary>
    internal static string Short(double value) => value switch
    {
        >= 1e9 => Number(value / 1e9, 2) + " G",
        >= 1e6 => Number(value / 1e6, 2) + " M",
        >= 1e3 => Number(value / 1e3, 1) + " k",
        _ => Number(value, 0),
    };

    private static EvaluationTable Variants(string title, IReadOnlyList<VariantFigures> variants)
    {
        (string Heading, Func<VariantFigures, string> Cell)[] columns =
        [
            ("attention", row => row.Variant),
            ("K", row => $"{row.TopK}"),
            ("sinks+window", row => row.TopK is null ? "" : $"{row.Sinks}+{row.Window}"),
            ("layers", row => $"{row.SearchedLayers.Count}"),
            ("perplexity", row => Number(row.Perplexity, 4)),
            ("gap %", row => Signed(row.GapPercent, 2)),
            ("mass", row => Number(row.Mass, 3)),
            ("recall_teacher", row => Number(row.TeacherRecall, 3)),
            ("recall_index", row => Number(row.IndexRecall, 4)),
            ("keys/query", row => Number(row.Compared, 0)),
            ("tokens/s", row => Number(row.TokensPerSecond, 0)),
            ("choice us/query", row => Number(row.SearchMicroseconds, 1)),
        ];
        // what was not measured has no column
        columns = [.. columns.Where(column => variants.Any(row => column.Cell(row) is not ("" or "-")))];
        var notes = new List<string> { "K counts sinks and window." };
        if (variants.Any(row => row.Mass is not null))
        {
            notes.Add("mass and recall_teacher: means over queries and searching layers.");
        }

        if (variants.Any(row => row.Compared is not null))
        {
            notes.Add("keys/query: search keys that a query was compared with in a layer, counted.");
        }

        return new EvaluationTable(
            title,
            [.. columns.Select(column => column.Heading)],
            1,
            [.. variants.Select(row => (IReadOnlyList<string>)[.. columns.Select(column => column.Cell(row))])],
            [string.Join(' ', notes)]);
    }

    private static EvaluationTable Scaling(string title, IReadOnlyList<ScalingPoint> points) => new(
        title,
        ["choice", "cells", "compared", "multiply-adds", "bytes compared", "choice us", "attention us", "recall_index", "fill + build s"],
        1,
        [
            .. points.Select(point => (IReadOnlyList<string>)
            [
                point.Selector, $"{point.Cells}", Number(point.Compared, 0), Short(point.ScoringOperations), $"{Short(point.ScoringBytes)}B",
                point.Selector == "pages" ? "-" : Number(point.ChoiceMicroseconds, 1), Number(point.AttentionMicroseconds, 1),
                Number(point.IndexRecall, 4), Number(point.BuildSeconds, 1),
            ]),
        ],
        ["Counted and timed, a query and layer, in caches of random contents: for an index the worst case, because random keys have no "
            + "neighbourhoods. compared: search keys; pages: bounds of pages of 16 cells, computed naively here, so without a time; full: keys, "
            + "which attention reads."]);

    private static EvaluationTable Masses(string title, IReadOnlyList<VariantFigures> variants) => new(
        title,
        ["index", "K", "sinks+window", "mass", "recall_teacher"],
        1,
        [
            .. variants.Where(row => row.Mass is not null).Select(row => (IReadOnlyList<string>)
            [
                row.Variant, $"{row.TopK}", $"{row.Sinks}+{row.Window}", Number(row.Mass, 3), Number(row.TeacherRecall, 3),
            ]),
        ],
        ["Means over the searching layers and the queries behind the prefill, on the trajectory of full attention."]);

    private static EvaluationTable Layers(string title, IReadOnlyList<LayerAdvice> layers, IReadOnlyList<int> reserve) => new(
        title,
        ["layer", "mass", "oracle mass", "delta", "recall_teacher", "oracle recall", ""],
        0,
        [
            .. layers.Select(row => (IReadOnlyList<string>)
            [
                $"{row.Layer}", Number(row.Mass, 3), Number(row.OracleMass, 3), Signed(row.Delta, 3), Number(row.TeacherRecall, 3),
                Number(row.OracleTeacherRecall, 3), row.Weak ? "weak" : row.Diffuse ? "diffuse" : "",
            ]),
        ],
        [
            $"weak: {LayerAdvice.WeakDelta} or more below the oracle. diffuse: even the oracle keeps less than {LayerAdvice.DiffuseMass}.",
            reserve.Count == 0 ? "Proposed reserve: none." : $"Proposed reserve: {string.Join(", ", reserve)}.",
        ]);

    private static EvaluationTable CoverageOf(string title, IReadOnlyList<CoveragePoint> points) => new(
        title,
        ["order", "searching", "layers", "gap %", "mass", "recall_teacher", "decode tokens/s", "front"],
        1,
        [
            .. points.Select(point => (IReadOnlyList<string>)
            [
                point.Order, $"{point.Layers.Count}", string.Join(' ', point.Layers), Signed(point.GapPercent, 2), Number(point.Mass, 3),
                Number(point.TeacherRecall, 3), Number(point.DecodeTokensPerSecond, 1), point.OnFront ? "*" : "",
            ]),
        ],
        ["front: no other choice has as many searching layers and a smaller gap."]);

    private static EvaluationTable Pairs(string title, IReadOnlyList<PairedComparison> pairs) => new(
        title,
        ["A", "B", "targets", "NLL A - B", "95 % interval", "better"],
        2,
        [
            .. pairs.Select(pair => (IReadOnlyList<string>)
            [
                pair.A, pair.B, $"{pair.Targets}", Signed(pair.NllDifference.Mean, 5),
                $"{Signed(pair.NllDifference.Low, 5)} to {Signed(pair.NllDifference.High, 5)}",
                pair.Verdict switch { "a" => pair.A, "b" => pair.B, _ => "no difference shown" },
            ]),
        ],
        [$"nats per token; bootstrap over blocks of {WindowResult.BlockTargets} targets, 10000 draws."]);

    private static EvaluationTable Divergence(string title, IReadOnlyList<DivergenceFigures> rows) => new(
        title,
        ["attention", "mean KL", "95 % interval", "median", "99 %", "max", "same top %", "mean dp %", "RMS dp %"],
        1,
        [
            .. rows.Select(row => (IReadOnlyList<string>)
            [
                row.Variant, Number(row.MeanKl.Mean, 5), $"{Number(row.MeanKl.Low, 5)} to {Number(row.MeanKl.High, 5)}",
                Number(row.MedianKl, 5), Number(row.Kl99, 4), Number(row.MaxKl, 3),
                $"{Number(row.SameTopPercent, 2)} +- {Number(row.SameTopErrorPercent, 2)}",
                Signed(row.MeanProbabilityChangePercent, 3), Number(row.RootMeanSquareChangePercent, 3),
            ]),
        ],
        ["KL in nats. dp: change of the probability of the token that came."]);

    private static EvaluationTable Tasks(string title, IReadOnlyList<TaskScore> scores) => new(
        title,
        ["attention", "task", "length", "prompts", "score", "against dense"],
        2,
        [
            .. scores.Select(score => (IReadOnlyList<string>)
            [
                score.Variant, score.Task, $"{score.Length}", $"{score.Samples}", Number(score.Score, 1), Signed(score.ChangeFromDense, 1),
            ]),
        ],
        ["score: share of the references found in the answer, case ignored, in percent (RULER's string_match_all)."]);

    private static EvaluationTable Costs(string title, IReadOnlyList<SelectorCost> costs)
    {
        long[] cells = [.. costs.Select(cost => cost.Cells).Distinct().Order()];
        return new EvaluationTable(
            title,
            ["choice", .. cells.Select(n => $"{n / 1024}K")],
            1,
            [
                .. costs.GroupBy(cost => cost.Selector).Select(group => (IReadOnlyList<string>)
                [
                    group.Key, .. group.OrderBy(cost => cost.Cells).Select(cost => $"{Short(cost.ScoringOperations)} / {Short(cost.Bytes)}B"),
                ]),
            ],
            ["multiply-adds to choose / bytes read to choose and attend. HNSW: estimate for "
                + $"M {SelectorCost.HnswM}, ef {SelectorCost.HnswEf}, not a bound."]);
    }
}
