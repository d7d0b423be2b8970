namespace AnnRuntime.Evaluation;

/// <summary>RULER's variable tracking and word counting, whose answers are spread over the whole text.</summary>
internal static class TracingTasks
{
    private const int Hops = 4, CommonWords = 10, VtAnswer = 30, FweAnswer = 50;

    public static IReadOnlyList<TaskKind> All { get; } =
    [
        new TaskKind("vt", VtAnswer, 5, request =>
        {
            StableRandom random = request.Random;
            (string example, IReadOnlyList<string> known) = Example(request);
            (string text, IReadOnlyList<string> names) = Chain(request.Amount, random, 5, Value(random));
            return new TaskDraft($"{example} {string.Join(' ', known)}\n{text}", names);
        }),
        new TaskKind("cwe", 120, 1, request =>
        {
            // below 4096 tokens RULER repeats words less often
            bool small = request.Length < 4096;
            (string example, IReadOnlyList<string> known) = Count(request.Random, small ? 20 : 40, small ? 3 : 10, small ? 1 : 3);
            (string text, IReadOnlyList<string> common) = Count(
                request.Random, CommonWords + request.Amount, small ? 6 : 30, small ? 1 : 3);
            string answer = string.Join(' ', known.Select((word, i) => $"{i + 1}. {word}"));
            return new TaskDraft($"{example} {answer}\n{text}", common);
        }),
        new TaskKind("fwe", FweAnswer, 100, Frequent),
    ];

    private static string Value(StableRandom random) => $"{10_000 + random.Next(89_999)}";

    // one solved task of at most 500 tokens (of short prompts: half), lines of noise in steps of 5
    private static (string Text, IReadOnlyList<string> Names) Example(TaskRequest request)
    {
        ulong seed = (ulong)request.Random.Next(int.MaxValue);
        (string Text, IReadOnlyList<string> Names) best = default;
        for (int lines = 5; ; lines += 5)
        {
            var random = new StableRandom(seed);
            (string Text, IReadOnlyList<string> Names) longer = Chain(lines, random, 3, Value(random));
            if (best.Text is not null && request.Tokens(longer.Text) + VtAnswer > Math.Min(500, request.Length / 2))
            {
                return best;
            }

            best = longer;
        }
    }

    // chain[0] is assigned the value, every other variable its predecessor; in order, at random lines of noise
    private static (string Text, IReadOnlyList<string> Names) Chain(int lines, StableRandom random, int letters, string value)
    {
        var names = new List<string>();
        while (names.Count <= Hops)
        {
            string name = TaskWords.Letters(random, letters, 'A');
            if (!names.Contains(name))
            {
                names.Add(name);
            }
        }

        int[] at = [.. TaskWords.Sample(random, [.. Enumerable.Range(0, lines)], names.Count).Order()];
        var text = new List<string>(Enumerable.Repeat(NeedleTasks.Noise, lines));
        for (int i = 0; i < names.Count; i++)
        {
            text.Insert(at[i] + i, i == 0 ? $"VAR {names[0]} = {value}" : $"VAR {names[i]} = VAR {names[i - 1]} ");
        }

        return (
            $"Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{string.Join('\n', text)}\n"
            + $"Question: Find all variables that are assigned the value {value} in the text above. Answer: According to the chain(s) of "
            + $"variable assignment in the text above, {names.Count} variables are assigned the value {value}, they are: ",
            names);
    }

    private static (string Text, IReadOnlyList<string> Common) Count(StableRandom random, int words, int often, int seldom)
    {
        // past the list, a word gets a number: counting needs many different words
        string[] chosen = TaskWords.Sample(random, Words(words), words);
        string[] common = chosen[..CommonWords];
        string[] list = TaskWords.Shuffle(
            random,
            [.. common.SelectMany(word => Enumerable.Repeat(word, often)), .. chosen[CommonWords..].SelectMany(word => Enumerable.Repeat(word, seldom))]);
        string context = string.Join(' ', list.Select((word, i) => $"{i + 1}. {word}"));
        return (
            "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most "
            + $"often.\n{context}\nQuestion: What are the 10 most common words in the above list? Answer: The top 10 words that appear most "
            + "often in the list are:",
            common);
    }

    private static IReadOnlyList<string> Words(int count) => count <= TaskWords.Common.Count
        ? TaskWords.Common
        : [.. TaskWords.Common, .. Enumerable.Range(0, count - TaskWords.Common.Count).Select(i => $"{TaskWords.Common[i % TaskWords.Common.Count]}{i}")];

    // word k of the vocabulary (a fiftieth of the length) is as frequent as 1/k^2; the most frequent is written as dots
    private static TaskDraft Frequent(TaskRequest request)
    {
        const double Zeta2 = Math.PI * Math.PI / 6;
        StableRandom random = request.Random;
        int words = Math.Max(4, (request.Length - FweAnswer) / 50);
        string[] vocabulary = [.. Enumerable.Range(0, words).Select(_ => TaskWords.Letters(random, 6, 'a')).Distinct()];
        vocabulary[0] = "...";
        string[] text = TaskWords.Shuffle(
            random,
            [.. vocabulary.SelectMany((word, k) => Enumerable.Repeat(word, (int)(request.Amount / (Math.Pow(k + 1, 2) * Zeta2))))]);
        return new TaskDraft(
            "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. "
            + $"{string.Join(' ', text)}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most "
            + "frequently appeared words in the above coded text? Answer: According to the coded text above, the three most frequently "
            + "appeared words are:",
            vocabulary[1..4]);
    }
}
