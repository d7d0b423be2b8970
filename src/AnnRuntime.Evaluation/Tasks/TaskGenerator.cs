namespace AnnRuntime.Evaluation;

/// <summary>Makes the prompts of long-context tasks; the same seed gives the same prompts on every machine.</summary>
/// <remarks>
/// Prompts and scores follow RULER (NVIDIA, c3f5e3b). Not the same: essays and words come from the project's own text; a
/// single needle stands at five depths in turn, not at random; a prompt takes as much haystack as fits, not multiples of a
/// step; random numbers are ours. So scores compare variants of attention with one another, not with published tables.
/// </remarks>
public static class TaskGenerator
{
    /// <summary>Passwords of the embedded model, asked for in its own wording.</summary>
    public const string Password = "password";

    /// <summary>The password question of ann-sparseattention's runtime, word by word, with its filler.</summary>
    public const string PrototypePassword = "password_prototype";

    private static readonly double[] Depths = [0, 0.25, 0.5, 0.75, 1];

    private static readonly IReadOnlyList<TaskKind> Kinds = [PrototypePasswords.Kind, .. NeedleTasks.All, .. TracingTasks.All];

    /// <summary>Names of all tasks.</summary>
    public static IReadOnlyList<string> Names { get; } = [Password, .. Kinds.Select(kind => kind.Name)];

    /// <summary>Prompts of one task and length.</summary>
    /// <param name="model">Its tokenizer counts.</param>
    /// <param name="task">One of <see cref="Names"/>.</param>
    /// <param name="length">Tokens of prompt and answer together, at most.</param>
    /// <param name="samples">Prompts; single needles stand at depths 0, 0.25, 0.5, 0.75, 1 in turn.</param>
    /// <param name="seed">Makes them repeatable.</param>
    /// <exception cref="ArgumentException">The length has no room for the task.</exception>
    public static IReadOnlyList<TaskPrompt> Create(AnnModel model, string task, int length, int samples, int seed)
    {
        ArgumentNullException.ThrowIfNull(model);
        return task == Password
            ? Passwords(model, length, samples, seed)
            : [.. Enumerable.Range(0, samples).Select(sample => Create(model.Tokenizer, Kinds.Single(kind => kind.Name == task), length, sample, seed))];
    }

    private static TaskPrompt[] Passwords(AnnModel model, int length, int samples, int seed)
    {
        var generator = new PasswordPromptGenerator(model);
        NeedlePosition[] positions = Enum.GetValues<NeedlePosition>();
        double[] depths = [0, 0.5, 0.9];
        return
        [
            .. Enumerable.Range(0, samples).Select(sample =>
            {
                PasswordPrompt prompt = generator.Create(new PasswordPromptOptions
                {
                    Length = length - PasswordRecall.AnswerTokens,
                    Seed = seed + sample / positions.Length,
                    Needle = positions[sample % positions.Length],
                });
                return new TaskPrompt(
                    Password, length, sample, depths[sample % depths.Length], prompt.Tokens, [prompt.Answer], PasswordRecall.AnswerTokens);
            }),
        ];
    }

    private static TaskPrompt Create(Tokenizer tokenizer, TaskKind kind, int length, int sample, int seed)
    {
        double depth = Depths[sample % Depths.Length];
        TaskDraft Draft(int amount) => kind.Draft(new TaskRequest(
            amount, length, depth, new StableRandom(((ulong)(uint)seed << 32) ^ ((ulong)sample << 20) ^ (ulong)length), Count));
        int Count(string text) => tokenizer.Tokenize(text).Length;
        int Tokens(int amount) => Count(Draft(amount).Text) + kind.AnswerTokens;

        int least = Tokens(kind.Least);
        if (least > length)
        {
            throw new ArgumentException($"The length is {length} tokens; the task {kind.Name} needs at least {least}.", nameof(length));
        }

        int fits = kind.Least;
        int exceeds = 2 * fits;
        while (Tokens(exceeds) <= length)
        {
            fits = exceeds;
            exceeds *= 2;
        }

        while (exceeds - fits > 1)
        {
            int middle = (fits + exceeds) / 2;
            (fits, exceeds) = Tokens(middle) <= length ? (middle, exceeds) : (fits, middle);
        }

        TaskDraft draft = Draft(fits);
        return new TaskPrompt(
            kind.Name, length, sample, draft.Depth, tokenizer.Tokenize(draft.Text), draft.References, kind.AnswerTokens);
    }
}
