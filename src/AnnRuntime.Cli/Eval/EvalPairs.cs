using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>What the verb <c>eval paired</c> compares: choices of cells in one model, or one choice in two models.</summary>
internal static class EvalPairs
{
    /// <summary>The first variant with each of the others.</summary>
    public static async Task<EvaluationDocument> OfVariantsAsync(
        EvalRun run, IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        IReadOnlyList<EvaluationVariant> list = run.Parse(names);
        if (list.Count < 2)
        {
            throw new ArgumentException("--variants names one variant; paired needs at least two, or another model (--against).");
        }

        EvaluationPlan plan = run.Plan(list);
        IReadOnlyList<WindowResult> results = await run.RunAsync(plan, cancellationToken);
        return run.Document() with
        {
            Pairs = [.. list.Skip(1).Select(other => PairedComparison.From(list[0].Name, Of(list[0], results), other.Name, Of(other, results)))],
            Variants = VariantFigures.From(plan, results, run.Model.SearchedLayers),
        };
    }

    /// <summary>Every variant of a model with itself in another.</summary>
    public static async Task<EvaluationDocument> OfModelsAsync(
        EvalRun run, EvalRun other, IReadOnlyList<string> names, CancellationToken cancellationToken)
    {
        (string first, string second) = (Path.GetFileNameWithoutExtension(run.Model.Path), Path.GetFileNameWithoutExtension(other.Model.Path));
        if (first == second)
        {
            (first, second) = ($"{first} (first)", $"{second} (second)");
        }

        (EvaluationPlan plan, IReadOnlyList<WindowResult> results) = await RunAsync(run, names, first, cancellationToken);
        (EvaluationPlan itsPlan, IReadOnlyList<WindowResult> itsResults) = await RunAsync(other, names, second, cancellationToken);
        return run.Document() with
        {
            Against = Path.GetFileName(other.Model.Path),
            Pairs =
            [
                .. plan.Variants.Zip(itsPlan.Variants, (mine, its) =>
                    PairedComparison.From(mine.Name, Of(mine, results), its.Name, Of(its, itsResults))),
            ],
            Variants =
            [
                .. VariantFigures.From(plan, results, run.Model.SearchedLayers),
                .. VariantFigures.From(itsPlan, itsResults, other.Model.SearchedLayers),
            ],
        };
    }

    private static async Task<(EvaluationPlan Plan, IReadOnlyList<WindowResult> Results)> RunAsync(
        EvalRun run, IEnumerable<string> names, string model, CancellationToken cancellationToken)
    {
        EvaluationPlan plan = run.Plan([.. run.Parse(names).Select(variant => variant with { Name = $"{variant.Name}, {model}" })]);
        return (plan, await run.RunAsync(plan, cancellationToken));
    }

    private static IReadOnlyList<WindowResult> Of(EvaluationVariant variant, IEnumerable<WindowResult> results) =>
        [.. results.Where(result => result.Variant == variant.Key)];
}
