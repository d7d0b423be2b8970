using System.Security.Cryptography;
using System.Text;

namespace AnnRuntime;

/// <summary>Text to train on: files, read as UTF-8, one after the other as tokens of a model.</summary>
public sealed class TrainingText
{
    private readonly int[] _tokens;

    private TrainingText(int[] tokens, string hash, IReadOnlyList<string> files)
    {
        _tokens = tokens;
        Hash = hash;
        Files = files;
    }

    /// <summary>SHA-256 of the files' bytes, one after the other, in hexadecimal.</summary>
    public string Hash { get; }

    /// <summary>Names of the files, without folders.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>The tokens.</summary>
    public ReadOnlySpan<int> Tokens => _tokens;

    /// <summary>Reads and tokenizes files.</summary>
    /// <param name="model">Its tokenizer is used.</param>
    /// <param name="paths">Text files.</param>
    /// <param name="progress">Told the share done, 0..1.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="ArgumentException">A file is not UTF-8 text, or there is no file.</exception>
    public static TrainingText Read(
        AnnModel model, IReadOnlyList<string> paths, IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(paths);
        if (paths.Count == 0)
        {
            throw new ArgumentException("There is no text to train on; name at least one file.");
        }

        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var tokens = new List<int>();
        for (int i = 0; i < paths.Count; i++)
        {
            byte[] bytes = File.ReadAllBytes(paths[i]);
            hash.AppendData(bytes);
            string text = Decode(bytes, paths[i]);
            int done = 0;
            foreach (string part in Parts(text))
            {
                cancellationToken.ThrowIfCancellationRequested();
                tokens.AddRange(model.Tokenizer.Tokenize(part));
                done += part.Length;
                progress?.Report((i + (double)done / text.Length) / paths.Count);
            }
        }

        return new TrainingText(
            [.. tokens], Convert.ToHexStringLower(hash.GetHashAndReset()), [.. paths.Select(p => Path.GetFileName(p))]);
    }

    private static string Decode(byte[] bytes, string path)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
        }
        catch (DecoderFallbackException exception)
        {
            throw new ArgumentException($"{path} is not UTF-8 text: wrong byte at {exception.Index}.");
        }
    }

    // about a megabyte each, cut at an empty line where there is one: no word is cut in two
    private static IEnumerable<string> Parts(string text)
    {
        const int Length = 1 << 20;
        for (int start = 0; start < text.Length;)
        {
            int end = Math.Min(text.Length, start + Length);
            if (end < text.Length)
            {
                int line = text.LastIndexOf("\n\n", end - 1, end - start, StringComparison.Ordinal);
                end = line > start ? line + 2 : end;
            }

            yield return text[start..end];
            start = end;
        }
    }
}
