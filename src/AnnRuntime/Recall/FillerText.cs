using System.Reflection;

namespace AnnRuntime;

/// <summary>Paragraphs of ordinary prose between which a password is hidden. The text is models/filler.txt.</summary>
internal sealed class FillerText
{
    private const string Resource = "AnnRuntime.filler.txt";

    /// <summary>Strides by which later rounds walk the paragraphs, so that no two rounds have the same order.</summary>
    private static readonly int[] Strides = [1, 7, 11, 13, 17, 19, 23, 29, 31, 37];

    private static readonly Lazy<FillerText> LazyDefault = new(Read);

    private readonly string[][] _paragraphs;

    internal FillerText(string text) =>
        _paragraphs = [.. text.ReplaceLineEndings("\n")
            .Split("\n\n", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(paragraph => paragraph.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries))];

    /// <summary>The text of the project.</summary>
    public static FillerText Default => LazyDefault.Value;

    /// <summary>Number of paragraphs.</summary>
    public int Count => _paragraphs.Length;

    /// <summary>The first <paramref name="words"/> words, as paragraphs of words, from paragraph <paramref name="first"/> on.</summary>
    /// <remarks>After the last paragraph it goes on with the first; each round has another order.</remarks>
    public IReadOnlyList<string[]> Take(int first, int words)
    {
        var taken = new List<string[]>();
        for (int index = 0, left = words; left > 0; index++)
        {
            string[] paragraph = _paragraphs[At(first, index)];
            taken.Add(paragraph.Length <= left ? paragraph : paragraph[..left]);
            left -= taken[^1].Length;
        }

        return taken;
    }

    private int At(int first, int index)
    {
        (int round, int step) = Math.DivRem(index, Count);
        long stride = Strides[round % Strides.Length];
        while (GreatestCommonDivisor(stride, Count) != 1)
        {
            stride++;
        }

        return (int)((first + step * stride) % Count);
    }

    private static long GreatestCommonDivisor(long a, long b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }

        return a;
    }

    private static FillerText Read()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(Resource)
            ?? throw new AnnRuntimeException($"The assembly has no resource {Resource}.");
        using var reader = new StreamReader(stream);
        return new FillerText(reader.ReadToEnd());
    }
}
