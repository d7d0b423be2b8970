namespace AnnRuntime.Evaluation;

/// <summary>Words, numbers and random choices of the tasks.</summary>
internal static class TaskWords
{
    private static readonly Lazy<IReadOnlyList<string>> LazyWords = new(() =>
    [
        .. FillerText.Default.Take(0, 20_000).SelectMany(words => words)
            .Where(word => word.Length is >= 4 and <= 9 && word.All(char.IsAsciiLetterLower))
            .Distinct().Order(StringComparer.Ordinal),
    ]);

    /// <summary>Lower-case words of ordinary prose, sorted.</summary>
    public static IReadOnlyList<string> Common => LazyWords.Value;

    /// <summary>Two words joined by a hyphen.</summary>
    public static string Key(StableRandom random) => $"{random.Choose(Common)}-{random.Choose(Common)}";

    /// <summary>Seven digits.</summary>
    public static string Number(StableRandom random) => $"{1_000_000 + random.Next(9_000_000)}";

    /// <summary>A version 4 UUID.</summary>
    public static string Uuid(StableRandom random)
    {
        string hex = string.Concat(Enumerable.Range(0, 8).Select(_ => random.Next(65536).ToString("x4")));
        return $"{hex[..8]}-{hex[8..12]}-4{hex[13..16]}-{"89ab"[random.Next(4)]}{hex[17..20]}-{hex[20..]}";
    }

    /// <summary>Random letters.</summary>
    public static string Letters(StableRandom random, int count, char first) =>
        string.Concat(Enumerable.Range(0, count).Select(_ => (char)(first + random.Next(26))));

    /// <summary>Different elements in random order.</summary>
    public static T[] Sample<T>(StableRandom random, IReadOnlyList<T> from, int count)
    {
        T[] all = [.. from];
        for (int i = 0; i < count; i++)
        {
            int j = i + random.Next(all.Length - i);
            (all[i], all[j]) = (all[j], all[i]);
        }

        return all[..count];
    }

    /// <summary>All elements in random order.</summary>
    public static T[] Shuffle<T>(StableRandom random, IReadOnlyList<T> from) => Sample(random, from, from.Count);
}
