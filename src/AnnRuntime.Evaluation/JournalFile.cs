using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>A file of JSON lines that grows while a run goes on. A line that an interruption cut off is removed.</summary>
internal sealed class JournalFile : IDisposable
{
    private readonly FileStream _file;

    private JournalFile(string path)
    {
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
    }

    /// <summary>Opens or begins a file; its folder is made where it is missing.</summary>
    /// <param name="path">The file.</param>
    /// <param name="header">Its first line; a file with another is refused.</param>
    /// <param name="contents">What its lines are, for a sentence: "answers".</param>
    /// <param name="others">What another header means, for a sentence: "another model".</param>
    /// <param name="read">Takes each whole line that was found, but the first.</param>
    /// <exception cref="ArgumentException">The file has another header, or no JSON.</exception>
    /// <exception cref="IOException">The file cannot be read or written, or another run has it open.</exception>
    public static JournalFile Open(string path, JournalHeader header, string contents, string others, Action<string> read)
    {
        var journal = new JournalFile(path);
        try
        {
            journal.Read(path, header, contents, others, read);
            return journal;
        }
        catch
        {
            journal.Dispose();
            throw;
        }
    }

    /// <summary>Adds a line; it is on the disk when this returns.</summary>
    public void Add(string line)
    {
        _file.Write(Encoding.UTF8.GetBytes(line + "\n"));
        _file.Flush(flushToDisk: true);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    /// <summary>Tells model files apart by size, first and last megabyte: one of many gigabytes is not read for it.</summary>
    public static string Fingerprint(AnnModel model)
    {
        const int Part = 1 << 20;
        using FileStream file = File.OpenRead(model.Path);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(BitConverter.GetBytes(file.Length));
        byte[] part = new byte[Part];
        foreach (long offset in (long[])[0, Math.Max(0, file.Length - Part)])
        {
            file.Position = offset;
            hash.AppendData(part, 0, file.ReadAtLeast(part, Part, throwOnEndOfStream: false));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private void Read(string path, JournalHeader header, string contents, string others, Action<string> read)
    {
        byte[] bytes = new byte[_file.Length];
        _file.ReadExactly(bytes);
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        _file.SetLength(end);
        _file.Position = end;
        string[] lines = Encoding.UTF8.GetString(bytes, 0, end).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0)
        {
            Add(JsonSerializer.Serialize(header, EvaluationJson.Lines.JournalHeader));
            return;
        }

        try
        {
            if (JsonSerializer.Deserialize(lines[0], EvaluationJson.Lines.JournalHeader) != header)
            {
                throw new ArgumentException($"'{path}' holds {contents} of {others}; take another folder, or delete the file.");
            }

            Array.ForEach(lines[1..], read);
        }
        catch (JsonException exception)
        {
            throw new ArgumentException($"'{path}' is no journal of {contents}: {exception.Message}", exception);
        }
    }
}

/// <summary>First line of a journal.</summary>
internal sealed record JournalHeader(string Kind, int Version, string Model, string Text, int WindowLength);
