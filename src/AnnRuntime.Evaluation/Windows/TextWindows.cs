using System.Text;

namespace AnnRuntime.Evaluation;

/// <summary>A text cut into windows of tokens, each of one segment or of several that do not see each other.</summary>
public sealed class TextWindows
{
    private readonly int[] _tokens;
    private readonly int[] _starts;

    /// <summary>Plain windows: a window is one segment, whatever documents it holds.</summary>
    /// <param name="tokens">The tokens of the text.</param>
    /// <param name="length">Tokens of a window, at least 2.</param>
    /// <param name="count">Windows wanted, from the start of the text on.</param>
    /// <exception cref="ArgumentException">The text is shorter than one window, or has fewer windows.</exception>
    public TextWindows(int[] tokens, int length, int count)
        : this(tokens, [], length, count)
    {
    }

    private TextWindows(int[] tokens, int[] starts, int length, int count)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        if (tokens.Length < length)
        {
            throw new ArgumentException(
                $"The text has {tokens.Length} tokens; one window alone has {length}. Take a longer text or shorter windows.");
        }

        if (tokens.Length / length < count)
        {
            throw new ArgumentException(
                $"The text has {tokens.Length} tokens, {tokens.Length / length} windows of {length}; {count} were asked for.");
        }

        _tokens = tokens;
        _starts = starts;
        Length = length;
        Count = count;
    }

    /// <summary>Tokens of a window.</summary>
    public int Length { get; }

    /// <summary>Number of windows.</summary>
    public int Count { get; }

    /// <summary>Most segments of any window.</summary>
    public int MostSegments => Enumerable.Range(0, Count).Max(window => Segments(window).Count);

    /// <summary>The tokens of a window. Every token but the first of a segment is a target.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    public ReadOnlyMemory<int> this[int index] => _tokens.AsMemory(index * Length, Length);

    /// <summary>Where the segments of a window begin, counted in it: 0 first, ascending. A segment sees itself only.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    public IReadOnlyList<int> Segments(int index) =>
        [0, .. _starts.Where(start => start > index * Length && start < (index + 1) * Length).Select(start => start - index * Length)];

    /// <summary>Windows of packed documents (block-causal): one document after the other, none sees another.</summary>
    /// <remarks>A window's end cuts a document; its rest is a segment of the next window.</remarks>
    /// <param name="documents">Tokens of each; empty ones are left out.</param>
    /// <param name="length">Tokens of a window, at least 2.</param>
    /// <param name="count">Windows wanted, from the start of the text on; null: all.</param>
    /// <exception cref="ArgumentException">The documents fill fewer windows, or a window holds more than 256 of them.</exception>
    public static TextWindows Pack(IEnumerable<int[]> documents, int length, int? count)
    {
        ArgumentNullException.ThrowIfNull(documents);
        var tokens = new List<int>();
        var starts = new List<int>();
        foreach (int[] document in documents.Where(document => document.Length > 0))
        {
            starts.Add(tokens.Count);
            tokens.AddRange(document);
        }

        var windows = new TextWindows([.. tokens], [.. starts], length, count ?? Math.Max(1, tokens.Count / length));
        const int Most = 256; // sequences of a context
        return windows.MostSegments <= Most
            ? windows
            : throw new ArgumentException(
                $"A window of {length} tokens holds {windows.MostSegments} documents; it must be at most {Most}. Take shorter windows.");
    }

    /// <summary>Reads a UTF-8 text file and cuts it.</summary>
    /// <param name="model">Its tokenizer, without special tokens added.</param>
    /// <param name="path">The file.</param>
    /// <param name="length">Tokens of a window.</param>
    /// <param name="count">Windows wanted; null: all.</param>
    /// <param name="separator">The line between documents, which are packed then; null: plain windows.</param>
    /// <exception cref="ArgumentException">Not UTF-8, shorter than what is wanted, or without the separator.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TextWindows Read(AnnModel model, string path, int length, int? count, string? separator = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (separator is null)
        {
            int[] tokens = model.Tokenizer.Tokenize(File.ReadAllBytes(path), addSpecial: false);
            return new TextWindows(tokens, length, count ?? Math.Max(1, tokens.Length / length));
        }

        string[] documents = Split(File.ReadAllLines(path, new UTF8Encoding(false, throwOnInvalidBytes: true)), separator);
        return documents.Length > 1
            ? Pack(documents.Select(document => model.Tokenizer.Tokenize(document, addSpecial: false)), length, count)
            : throw new ArgumentException($"'{path}' has no line '{separator}' between documents.");
    }

    private static string[] Split(IEnumerable<string> lines, string separator)
    {
        var documents = new List<List<string>> { new() };
        foreach (string line in lines)
        {
            if (line == separator)
            {
                documents.Add([]);
            }
            else
            {
                documents[^1].Add(line);
            }
        }

        return [.. documents.Where(document => document.Count > 0).Select(document => string.Join('\n', document) + "\n")];
    }
}
