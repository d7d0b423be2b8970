namespace AnnRuntime.Evaluation;

/// <summary>Lets variants answer prompts.</summary>
public static class TaskRunner
{
    /// <summary>Every variant answers every prompt, greedily.</summary>
    /// <param name="model">The model.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="variants">The variants.</param>
    /// <param name="options">Types and threads of the contexts.</param>
    /// <param name="journal">Answers are taken from it and added to it.</param>
    /// <param name="progress">Told the share done of what was left to do, 0..1.</param>
    /// <param name="cancellationToken">Stops it; finished answers stay in the journal.</param>
    /// <returns>Scores of every variant, task and length; those of the variant dense come with none to compare.</returns>
    public static async Task<IReadOnlyList<TaskScore>> RunAsync(
        AnnModel model, IReadOnlyList<TaskPrompt> prompts, IReadOnlyList<EvaluationVariant> variants, ContextOptions options,
        TaskJournal journal, Action<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(variants);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(journal);
        if (prompts.Count == 0)
        {
            throw new ArgumentException("There are no prompts.", nameof(prompts));
        }

        if (variants.FirstOrDefault(variant => !variant.IsDense) is { } searching && !model.Info.HasSearch)
        {
            throw new ArgumentException(
                $"The variant '{searching.Name}' searches, but {Path.GetFileName(model.Path)} has no search projections. "
                + "Only the variant dense works with it.");
        }

        bool Missing(EvaluationVariant variant, TaskPrompt prompt) => journal.Find(TaskJournal.Key(variant, prompt, options)) is null;
        double total = variants.Sum(variant => prompts.Where(prompt => Missing(variant, prompt)).Sum(prompt => (double)prompt.Tokens.Count));
        double done = 0;
        var scores = new List<TaskScore>();
        foreach (EvaluationVariant variant in variants)
        {
            TaskPrompt[] left = [.. prompts.Where(prompt => Missing(variant, prompt))];
            if (left.Length > 0)
            {
                using AnnContext context = model.CreateContext(options with
                {
                    ContextLength = prompts.Max(prompt => prompt.Tokens.Count + prompt.AnswerTokens),
                    Search = model.Info.HasSearch ? variant.Search : new SearchOptions { Mode = SearchMode.Off },
                });
                await using var session = new AnnSession(context);
                foreach (TaskPrompt prompt in left)
                {
                    var generation = new GenerationOptions
                    {
                        MaxTokens = prompt.AnswerTokens,
                        Sampling = SamplingOptions.Greedy,
                        ReusePrefix = false,
                    };
                    GenerationResult result = await session
                        .CompleteAsync(prompt.Tokens, generation, null, cancellationToken).ConfigureAwait(false);
                    journal.Add(TaskJournal.Key(variant, prompt, options), result.Text);
                    done += prompt.Tokens.Count;
                    progress?.Invoke(done / total);
                }
            }

            scores.AddRange(Sum(variant, [.. prompts.Select(prompt => (prompt, Answer(prompt, variant)))], scores));
        }

        return scores;

        TaskAnswer Answer(TaskPrompt prompt, EvaluationVariant variant)
        {
            string text = journal.Find(TaskJournal.Key(variant, prompt, options))!;
            return new TaskAnswer(prompt.Sample, prompt.Depth, prompt.References, text.Trim(), prompt.Score(text));
        }
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
