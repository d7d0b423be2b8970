namespace AnnRuntime.Cli;

/// <summary>Lets every variant of a plan answer every prompt.</summary>
internal static class RecallRunner
{
    /// <summary>Runs the plan; rows come in the order of variants, then prompts.</summary>
    public static Task<IReadOnlyList<RecallRow>> RunAsync(
        AnnModel model, RecallPlan plan, Terminal terminal, CancellationToken cancellationToken)
    {
        double total = plan.Variants.Count * plan.Prompts.Sum(prompt => (double)prompt.Tokens.Count);
        return terminal.ProgressAsync(
            $"{plan.Variants.Count} variants answer {plan.Prompts.Count} prompts",
            async step =>
            {
                var rows = new List<RecallRow>();
                double done = 0;
                foreach (RecallVariant variant in plan.Variants)
                {
                    int cells = plan.Prompts.Max(prompt => prompt.Tokens.Count) + PasswordRecall.AnswerTokens;
                    using AnnContext context = model.CreateContext(plan.CreateOptions(cells, variant.Search));
                    await using var session = new AnnSession(context);
                    foreach (PasswordPrompt prompt in plan.Prompts)
                    {
                        var sink = new PrefillSink { Step = share => step((done + share * prompt.Tokens.Count) / total) };
                        rows.Add(await AskAsync(session, variant, prompt, plan.MeasureMass, sink, cancellationToken));
                        done += prompt.Tokens.Count;
                        step(done / total);
                    }
                }

                return (IReadOnlyList<RecallRow>)rows;
            });
    }

    private static async Task<RecallRow> AskAsync(
        AnnSession session, RecallVariant variant, PasswordPrompt prompt, bool measureMass, PrefillSink sink,
        CancellationToken cancellationToken)
    {
        AnnContext context = session.Context;
        PasswordRecallResult result = await PasswordRecall.AskAsync(session, prompt, sink, cancellationToken);
        SearchOptions search = context.Search;
        RetrievalStatistics? retrieval = null;
        if (measureMass && search.Mode is SearchMode.Exact or SearchMode.Hnsw or SearchMode.Auto)
        {
            retrieval = await MeasureAsync(session, prompt, cancellationToken);
        }

        return new RecallRow(
            variant.Name,
            SearchReport.From(search),
            prompt.Tokens.Count,
            prompt.Options.Needle.ToString().ToLowerInvariant(),
            prompt.Options.Seed,
            prompt.Answer,
            result.Answer,
            result.IsRight,
            TimingsReport.From(result.Generation.Timings),
            MemoryReport.From(context.Memory),
            retrieval?.Mass,
            retrieval?.TeacherRecall);
    }

    // the prompt's cells are still there: only its last token and the answer are computed again
    private static async Task<RetrievalStatistics?> MeasureAsync(
        AnnSession session, PasswordPrompt prompt, CancellationToken cancellationToken)
    {
        session.Context.StartStatistics(StatisticsKinds.Mass);
        GenerationResult result = await session.CompleteAsync(
            prompt.Tokens,
            new GenerationOptions { MaxTokens = PasswordRecall.AnswerTokens, Sampling = SamplingOptions.Greedy },
            cancellationToken: cancellationToken);
        session.Context.StartStatistics(StatisticsKinds.None);
        return result.Retrieval;
    }
}
