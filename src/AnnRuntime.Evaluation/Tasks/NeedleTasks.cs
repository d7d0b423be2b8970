namespace AnnRuntime.Evaluation;

/// <summary>RULER's needles in a haystack. Prose is the project's own text in place of its essays and word lists.</summary>
internal static class NeedleTasks
{
    /// <summary>The line of noise that RULER repeats.</summary>
    public const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

    private const int Answer = 128;

    // RULER's depths: 40 whole percents at even distances
    private static readonly double[] Depths = [.. Enumerable.Range(0, 40).Select(i => Math.Round(i * 100 / 39.0) / 100)];

    private enum Hay
    {
        Noise,
        Essay,
        Needles,
    }

    public static IReadOnlyList<TaskKind> All { get; } =
    [
        Create("niah_single_1", Hay.Noise, uuidKeys: false, uuidValues: false, keys: 1, values: 1, queries: 1),
        Create("niah_single_2", Hay.Essay, uuidKeys: false, uuidValues: false, keys: 1, values: 1, queries: 1),
        Create("niah_single_3", Hay.Essay, uuidKeys: false, uuidValues: true, keys: 1, values: 1, queries: 1),
        Create("niah_multikey_1", Hay.Essay, uuidKeys: false, uuidValues: false, keys: 4, values: 1, queries: 1),
        Create("niah_multikey_2", Hay.Needles, uuidKeys: false, uuidValues: false, keys: 1, values: 1, queries: 1),
        Create("niah_multikey_3", Hay.Needles, uuidKeys: true, uuidValues: true, keys: 1, values: 1, queries: 1),
        Create("niah_multivalue", Hay.Essay, uuidKeys: false, uuidValues: false, keys: 1, values: 4, queries: 1),
        Create("niah_multiquery", Hay.Essay, uuidKeys: false, uuidValues: false, keys: 4, values: 1, queries: 4),
    ];

    private static TaskKind Create(string name, Hay hay, bool uuidKeys, bool uuidValues, int keys, int values, int queries)
    {
        string type = uuidValues ? "uuids" : "numbers";
        string Key(StableRandom random) => uuidKeys ? TaskWords.Uuid(random) : TaskWords.Key(random);
        string Value(StableRandom random) => uuidValues ? TaskWords.Uuid(random) : TaskWords.Number(random);
        string Needle(string key, string value) => $"One of the special magic {type} for {key} is: {value}.";

        return new TaskKind(name, Answer, hay == Hay.Essay ? 40 : 5, request =>
        {
            (int amount, _, double depth, StableRandom random, _) = request;
            string[] names = [.. Enumerable.Range(0, keys).Select(_ => Key(random))];
            string[][] answers = [.. names.Select(_ => Enumerable.Range(0, values).Select(_ => Value(random)).ToArray())];
            string[] needles = TaskWords.Shuffle(
                random, [.. names.SelectMany((key, i) => answers[i].Select(value => Needle(key, value)))]);
            int[] asked = TaskWords.Sample(random, [.. Enumerable.Range(0, keys)], queries);
            int start = random.Next(FillerText.Default.Count);
            double[] depths = needles.Length == 1 ? [depth] : TaskWords.Sample(random, Depths, needles.Length);
            IReadOnlyList<string> lines = hay switch
            {
                Hay.Noise => [.. Enumerable.Repeat(Noise, amount)],
                Hay.Essay => Sentences(start, amount),
                _ => [.. Enumerable.Range(0, amount).Select(_ => Needle(Key(random), Value(random)))],
            };
            string context = string.Join(hay == Hay.Essay ? " " : "\n", Insert(lines, needles, depths));
            return new TaskDraft(
                Prompt(context, type, [.. asked.Select(i => names[i])], queries * values == 1),
                [.. asked.SelectMany(i => answers[i])],
                needles.Length == 1 ? depth : null);
        });
    }

    private static string Prompt(string context, string type, IReadOnlyList<string> keys, bool single)
    {
        string query = keys.Count == 1 ? keys[0] : $"{string.Join(", ", keys.SkipLast(1))}, and {keys[^1]}";
        return single
            ? $"A special magic {type[..^1]} is hidden within the following text. Make sure to memorize it. I will quiz you about the "
                + $"{type[..^1]} afterwards.\n{context}\nWhat is the special magic {type[..^1]} for {query} mentioned in the provided text? "
                + $"The special magic {type[..^1]} for {query} mentioned in the provided text is"
            : $"Some special magic {type} are hidden within the following text. Make sure to memorize it. I will quiz you about the "
                + $"{type} afterwards.\n{context}\nWhat are all the special magic {type} for {query} mentioned in the provided text? "
                + $"The special magic {type} for {query} mentioned in the provided text are";
    }

    private static IReadOnlyList<string> Sentences(int first, int words) =>
        string.Join(' ', FillerText.Default.Take(first, words).SelectMany(paragraph => paragraph))
            .Split(". ").Select(sentence => sentence.EndsWith('.') ? sentence : sentence + ".").ToArray();

    private static List<string> Insert(IReadOnlyList<string> lines, IReadOnlyList<string> needles, IReadOnlyList<double> depths)
    {
        var result = new List<string>(lines);
        foreach ((string needle, int at) in needles.Zip(depths, (needle, depth) => (needle, (int)(lines.Count * depth))).OrderByDescending(pair => pair.Item2))
        {
            result.Insert(at, needle);
        }

        return result;
    }
}
