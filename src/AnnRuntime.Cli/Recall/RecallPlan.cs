namespace AnnRuntime.Cli;

/// <summary>What is asked: prompts, variants and how a context is made.</summary>
/// <param name="Prompts">The prompts; every variant answers all of them.</param>
/// <param name="Variants">The variants.</param>
/// <param name="CreateOptions">Context options of a length and a search.</param>
/// <param name="MeasureMass">
/// Answers each prompt of a searching variant a second time with mass and teacher recall measured, so that the times are
/// not those of a measured run.
/// </param>
internal sealed record RecallPlan(
    IReadOnlyList<PasswordPrompt> Prompts,
    IReadOnlyList<RecallVariant> Variants,
    Func<int, SearchOptions, ContextOptions> CreateOptions,
    bool MeasureMass)
{
    /// <summary>Prompts of every length, needle and seed.</summary>
    public static IReadOnlyList<PasswordPrompt> CreatePrompts(
        AnnModel model, IEnumerable<int> lengths, IReadOnlyList<NeedlePosition> needles, IEnumerable<int> seeds,
        bool chat, bool unseenWords, CancellationToken cancellationToken)
    {
        var generator = new PasswordPromptGenerator(model);
        var prompts = new List<PasswordPrompt>();
        foreach (int length in lengths)
        {
            foreach (int seed in seeds)
            {
                foreach (NeedlePosition needle in needles)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    prompts.Add(generator.Create(new PasswordPromptOptions
                    {
                        Length = length,
                        Seed = seed,
                        Needle = needle,
                        Chat = chat,
                        UnseenWords = unseenWords,
                    }));
                }
            }
        }

        return prompts;
    }
}
