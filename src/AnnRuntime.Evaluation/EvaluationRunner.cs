namespace AnnRuntime.Evaluation;

/// <summary>Computes the windows of a plan that a journal does not hold yet.</summary>
public static class EvaluationRunner
{
    // llama_ann_index::max_queries: more are a prompt
    private const int IndexQueries = 4;

    /// <summary>Runs the plan on threads of the pool.</summary>
    /// <param name="model">The model.</param>
    /// <param name="plan">Variants, windows, what is measured.</param>
    /// <param name="journal">Finished windows are taken from it and added to it.</param>
    /// <param name="progress">Told the share done of what was left to do, 0..1.</param>
    /// <param name="cancellationToken">Stops at the next node of a graph; finished windows stay in the journal.</param>
    /// <returns>Results in the order of variants, then windows.</returns>
    /// <exception cref="ArgumentException">
    /// A variant needs projections that the model does not have, its K is above the window, or its index would not be used.
    /// </exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<IReadOnlyList<WindowResult>> RunAsync(
        AnnModel model, EvaluationPlan plan, EvaluationJournal journal, Action<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(journal);
        Check(model, plan);
        EvaluationPlan resolved = plan with { HasSearch = model.SearchedLayers.Count > 0 };
        return Task.Run<IReadOnlyList<WindowResult>>(
            () => Run(model, resolved, journal, progress ?? (_ => { }), cancellationToken), cancellationToken);
    }

    private static void Check(AnnModel model, EvaluationPlan plan)
    {
        foreach (EvaluationVariant variant in plan.Variants.Where(variant => !variant.IsDense))
        {
            if (model.SearchedLayers.Count == 0)
            {
                throw new ArgumentException(
                    $"The variant '{variant.Name}' searches, but {Path.GetFileName(model.Path)} has no search projections. "
                    + "Only the variant dense works with it.");
            }

            if (variant.Search.Mode == SearchMode.Hnsw && plan.Generated == 0 && plan.Chunk > IndexQueries)
            {
                throw new ArgumentException(
                    $"The variant '{variant.Name}' would never use its index: prompts search exactly, and chunks of {plan.Chunk} tokens are "
                    + $"prompts. Let tokens come one by one (--decode N), or in chunks of 1 to {IndexQueries} (--chunk).");
            }

            if (variant.Search.TopK > plan.Windows.Length)
            {
                throw new ArgumentException(
                    $"The variant '{variant.Name}' has K = {variant.Search.TopK}, more than the {plan.Windows.Length} tokens of a window.");
            }

            if (variant.Search.Layers?.FirstOrDefault(layer => !model.SearchedLayers.Contains(layer), -1) is int unknown and >= 0)
            {
                throw new ArgumentException(
                    $"The variant '{variant.Name}' names layer {unknown}, which has no search projections; "
                    + $"these have: {string.Join(", ", model.SearchedLayers)}.");
            }
        }

        if (plan.Generated is < 0 or 1 || plan.Generated >= plan.Windows.Length - 1)
        {
            throw new ArgumentException(
                $"{plan.Generated} tokens of a window come one by one (--decode); it must be 0, or 2 to {plan.Windows.Length - 2}: "
                + "a prompt before them, and a target among them.");
        }

        if (plan.MeasuredFrom % plan.Chunk != 0)
        {
            throw new ArgumentException(
                $"Measuring begins at token {plan.MeasuredFrom}, which is no multiple of the {plan.Chunk} tokens of a decode.");
        }
    }

    private static List<WindowResult> Run(
        AnnModel model, EvaluationPlan plan, EvaluationJournal journal, Action<double> progress, CancellationToken cancellationToken)
    {
        int left = Pairs(plan).Count(pair => journal.Find(plan.Key, pair.Variant.Key, pair.Window) is null);
        double total = (double)left * plan.Windows.Length;
        double done = 0;
        var results = new List<WindowResult>();
        AnnContext? context = null;
        AnnContext? full = null;
        try
        {
            foreach ((EvaluationVariant variant, int window) in Pairs(plan))
            {
                cancellationToken.ThrowIfCancellationRequested();
                WindowResult? result = journal.Find(plan.Key, variant.Key, window);
                if (result is null)
                {
                    context ??= Create(model, plan);
                    full ??= plan.Compare ? Create(model, plan) : null;
                    result = new WindowEvaluator(context, plan, full).Evaluate(
                        variant, window, plan.Windows[window].Span, tokens => progress((done + tokens) / total), cancellationToken);
                    journal.Add(plan.Key, result);
                    done += plan.Windows.Length;
                }

                results.Add(result);
            }
        }
        finally
        {
            context?.Dispose();
            full?.Dispose();
        }

        return results;
    }

    private static IEnumerable<(EvaluationVariant Variant, int Window)> Pairs(EvaluationPlan plan) =>
        plan.Variants.SelectMany(variant => Enumerable.Range(0, plan.Windows.Count).Select(window => (variant, window)));

    private static AnnContext Create(AnnModel model, EvaluationPlan plan) => model.CreateContext(plan.Context with
    {
        ContextLength = plan.Windows.Length,
        MaxSequences = plan.Windows.MostSegments,
        BatchSize = Math.Max(plan.Chunk, 32),
        UbatchSize = Math.Clamp(plan.Context.UbatchSize, 1, Math.Max(plan.Chunk, 32)),
        Search = new SearchOptions { Mode = plan.HasSearch ? SearchMode.Dense : SearchMode.Off },
    });
}
