using System.CommandLine;
using AnnRuntime.Cli.Commands;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The verb <c>eval coverage</c>: how many layers may search, and which.</summary>
internal static class EvalCoverage
{
    private static readonly string[] Orders = ["reserve-weakest", "evenly", "worst-first"];

    public static Command Create()
    {
        Option<int?> topK = Make.Integer("--top-k", "K. Default: the file's.", 1);
        Option<int?> step = Make.Integer("--step", "Layers added from point to point. Default: a sixth of the file's.", 1);
        Option<string[]> orders = Make.Choices(
            "--orders",
            "Which layers search first. reserve-weakest: those of most attention mass. evenly: at even distances. worst-first: "
            + "those of least mass.",
            Orders, Orders);
        return EvalCommand.OnText(
            "coverage", "Perplexity gap, mass, recall and decode speed with 0 to all layers searching; marks the Pareto front.",
            [topK, step, orders],
            (run, parse, cancellationToken) => RunAsync(
                run, parse.GetValue(topK) ?? run.Model.Info.TopK, parse.GetValue(step), parse.GetValue(orders)!, cancellationToken));
    }

    private static async Task<EvaluationDocument> RunAsync(
        EvalRun run, int k, int? step, IReadOnlyList<string> orders, CancellationToken cancellationToken)
    {
        EvaluationVariant all = run.Variant("exact", k);
        IReadOnlyList<int> weakest = await WeakestAsync(run, all, cancellationToken);
        IReadOnlyList<int> layers = run.Model.SearchedLayers;
        var points = new List<(string Order, EvaluationVariant Variant)> { ("none", EvaluationVariant.Dense) };
        foreach (string order in orders)
        {
            foreach (int count in Coverage.Counts(layers.Count, step).Where(count => count > 0 && count < layers.Count))
            {
                IReadOnlyList<int> chosen = order switch
                {
                    "evenly" => Coverage.Evenly(layers, count),
                    "worst-first" => Coverage.WorstFirst(weakest, count),
                    _ => Coverage.ReserveWeakest(weakest, count),
                };
                points.Add((order, all.In(chosen, $"{order} {count}")));
            }
        }

        points.Add(("all", all.In(layers, "all")));
        EvaluationPlan plan = run.Plan([.. points.Select(point => point.Variant)]) with { Measure = true };
        IReadOnlyList<VariantFigures> figures = VariantFigures.From(
            plan, await run.RunAsync(plan, cancellationToken), layers);
        IReadOnlyList<double> speeds = await SpeedsAsync(run, plan, cancellationToken);
        (int Layers, double Gap)[] plane = [.. figures.Select(row => (row.SearchedLayers.Count, row.GapPercent ?? 0))];
        return run.Document() with
        {
            Variants = figures,
            Coverage =
            [
                .. figures.Select((row, i) => new CoveragePoint(
                    points[i].Order, row.SearchedLayers, row.GapPercent ?? 0, row.Mass, row.TeacherRecall, Math.Round(speeds[i], 2),
                    Coverage.IsOnFront(plane[i], plane))),
            ],
        };
    }

    // by the mass of the first window on the trajectory of full attention
    private static async Task<IReadOnlyList<int>> WeakestAsync(EvalRun run, EvaluationVariant all, CancellationToken cancellationToken)
    {
        EvaluationPlan plan = run.Plan([all]) with { Measure = true, DenseTrajectory = true };
        IReadOnlyList<WindowResult> results = await run.RunAsync(plan, cancellationToken);
        return LayerAdvice.WeakestFirst(VariantFigures.From(plan, results, run.Model.SearchedLayers)[0].Layers);
    }

    private static Task<IReadOnlyList<double>> SpeedsAsync(EvalRun run, EvaluationPlan plan, CancellationToken cancellationToken) =>
        run.Terminal.ProgressAsync("coverage: decode speed", step => Task.Run<IReadOnlyList<double>>(
            () =>
            {
                using var timer = new DecodeTimer(run.Model, run.Context, run.Windows[0]);
                var speeds = new List<double>();
                foreach (EvaluationVariant variant in plan.Variants)
                {
                    speeds.Add(timer.Measure(variant.Search, cancellationToken));
                    step((double)speeds.Count / plan.Variants.Count);
                }

                return speeds;
            },
            cancellationToken));
}
