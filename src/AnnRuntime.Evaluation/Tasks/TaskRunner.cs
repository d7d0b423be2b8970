namespace AnnRuntime.Evaluation;

/// <summary>Lets variants answer prompts.</summary>
public static class TaskRunner
{
    /// <summary>Every variant answers every prompt, greedily.</summary>
    /// <param name="model">The model.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="variants">The variants.</param>
    /// <param name="options">Types and threads of the contexts.</param>
    /// <param name="progress">Told the share done, 0..1.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>Scores of every variant, task and length; those of the variant dense come with none to compare.</returns>
    public static async Task<IReadOnlyList<TaskScore>> RunAsync(
        AnnModel model, IReadOnlyList<TaskPrompt> prompts, IReadOnlyList<EvaluationVariant> variants, ContextOptions options,
        Action<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(variants);
        ArgumentNullException.ThrowIfNull(options);
        double total = variants.Count * prompts.Sum(prompt => (double)prompt.Tokens.Count);
        double done = 0;
        var scores = new List<TaskScore>();
        foreach (EvaluationVariant variant in variants)
        {
            using AnnContext context = model.CreateContext(options with
            {
                ContextLength = prompts.Max(prompt => prompt.Tokens.Count + prompt.AnswerTokens),
                Search = model.Info.HasSearch ? variant.Search : new SearchOptions { Mode = SearchMode.Off },
            });
            await using var session = new AnnSession(context);
            var answers = new List<(TaskPrompt Prompt, TaskAnswer Answer)>();
            foreach (TaskPrompt prompt in prompts)
            {
                var generation = new GenerationOptions
                {
                    MaxTokens = prompt.AnswerTokens,
                    Sampling = SamplingOptions.Greedy,
                    ReusePrefix = false,
                };
                GenerationResult result = await session
                    .CompleteAsync(prompt.Tokens, generation, null, cancellationToken).ConfigureAwait(false);
                answers.Add((prompt, new TaskAnswer(
                    prompt.Sample, prompt.Depth, prompt.References, result.Text.Trim(), prompt.Score(result.Text))));
                done += prompt.Tokens.Count;
                progress?.Invoke(done / total);
            }

            scores.AddRange(Sum(variant, answers, scores));
        }

        return scores;
    }

    private static IEnumerable<TaskScore> Sum(
        EvaluationVariant variant, IReadOnlyList<(TaskPrompt Prompt, TaskAnswer Answer)> answers, IReadOnlyList<TaskScore> before) =>
    [
        .. answers.GroupBy(pair => (pair.Prompt.Task, pair.Prompt.Length)).Select(group =>
        {
            double score = group.Average(pair => pair.Answer.Score);
            TaskScore? dense = before.FirstOrDefault(other =>
                other.Variant == EvaluationVariant.Dense.Name && (other.Task, other.Length) == group.Key);
            return new TaskScore(
                variant.Name, group.Key.Task, group.Key.Length, group.Count(), score, score - dense?.Score,
                [.. group.Select(pair => pair.Answer)]);
        }),
    ];
}
