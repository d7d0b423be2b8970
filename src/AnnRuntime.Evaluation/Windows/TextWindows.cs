namespace AnnRuntime.Evaluation;

/// <summary>A text cut into windows of tokens.</summary>
public sealed class TextWindows
{
    private readonly int[] _tokens;

    /// <param name="tokens">The tokens of the text.</param>
    /// <param name="length">Tokens of a window, at least 2.</param>
    /// <param name="count">Windows wanted, from the start of the text on.</param>
    /// <exception cref="ArgumentException">The text is shorter than one window, or has fewer windows.</exception>
    public TextWindows(int[] tokens, int length, int count)
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
        Length = length;
        Count = count;
    }

    /// <summary>Tokens of a window.</summary>
    public int Length { get; }

    /// <summary>Number of windows.</summary>
    public int Count { get; }

    /// <summary>The tokens of a window. Every token but the first is a target.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    public ReadOnlyMemory<int> this[int index] => _tokens.AsMemory(index * Length, Length);

    /// <summary>Reads a UTF-8 text file and cuts it.</summary>
    /// <param name="model">Its tokenizer, without special tokens added.</param>
    /// <param name="path">The file.</param>
    /// <param name="length">Tokens of a window.</param>
    /// <param name="count">Windows wanted; null: all.</param>
    /// <exception cref="ArgumentException">Not UTF-8, or shorter than what is wanted.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TextWindows Read(AnnModel model, string path, int length, int? count)
    {
        ArgumentNullException.ThrowIfNull(model);
        int[] tokens = model.Tokenizer.Tokenize(File.ReadAllBytes(path), addSpecial: false);
        return new TextWindows(tokens, length, count ?? Math.Max(1, tokens.Length / length));
    }
}
