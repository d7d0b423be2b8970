using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>A file of finished windows, one JSON line each, by which an interrupted run goes on where it stopped.</summary>
/// <remarks>Its first line names model, text and window length; a run of others refuses the file.</remarks>
public sealed class EvaluationJournal : IDisposable
{
    private readonly Dictionary<string, WindowResult> _finished = [];
    private readonly FileStream? _file;

    private EvaluationJournal(FileStream? file) => _file = file;

    /// <summary>Windows found when it was opened.</summary>
    public int Found { get; private set; }

    /// <summary>A journal that keeps nothing.</summary>
    public static EvaluationJournal InMemory() => new(null);

    /// <summary>Opens or begins a journal. A line cut off by an interruption is removed.</summary>
    /// <param name="path">The file; its folder is made where it is missing.</param>
    /// <param name="model">The model.</param>
    /// <param name="windows">The windows.</param>
    /// <exception cref="ArgumentException">The file is of another model, text or window length, or no journal.</exception>
    /// <exception cref="IOException">The file cannot be read or written, or another run has it open.</exception>
    public static EvaluationJournal Open(string path, AnnModel model, TextWindows windows)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(windows);
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        var header = new JournalHeader("ann-eval", 1, Fingerprint(model.Path), Fingerprint(windows), windows.Length);
        var journal = new EvaluationJournal(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read));
        try
        {
            journal.Read(path, header);
            return journal;
        }
        catch
        {
            journal.Dispose();
            throw;
        }
    }

    /// <summary>A finished window, or null.</summary>
    internal WindowResult? Find(string plan, string variant, int window) => _finished.GetValueOrDefault(Key(plan, variant, window));

    /// <summary>Adds a window; it is on the disk when this returns.</summary>
    internal void Add(string plan, WindowResult result)
    {
        _finished[Key(plan, result.Variant, result.Window)] = result;
        if (_file is not null)
        {
            Write(JsonSerializer.Serialize(new JournalLine(plan, result), EvaluationJson.Lines.JournalLine));
        }
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file?.Dispose();

    private static string Key(string plan, string variant, int window) => $"{window}|{variant}|{plan}";

    private void Read(string path, JournalHeader expected)
    {
        byte[] bytes = new byte[_file!.Length];
        _file.ReadExactly(bytes);
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        _file.SetLength(end);
        _file.Position = end;
        string[] lines = Encoding.UTF8.GetString(bytes, 0, end).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0)
        {
            Write(JsonSerializer.Serialize(expected, EvaluationJson.Lines.JournalHeader));
            return;
        }

        try
        {
            JournalHeader? header = JsonSerializer.Deserialize(lines[0], EvaluationJson.Lines.JournalHeader);
            if (header != expected)
            {
                throw new ArgumentException(
                    $"'{path}' holds windows of another model, text or window length; take another folder, or delete the file.");
            }

            foreach (string line in lines.Skip(1))
            {
                JournalLine entry = JsonSerializer.Deserialize(line, EvaluationJson.Lines.JournalLine)!;
                _finished[Key(entry.Plan, entry.Result.Variant, entry.Result.Window)] = entry.Result;
            }
        }
        catch (JsonException exception)
        {
            throw new ArgumentException($"'{path}' is no journal of evaluated windows: {exception.Message}", exception);
        }

        Found = _finished.Count;
    }

    private void Write(string line)
    {
        _file!.Write(Encoding.UTF8.GetBytes(line + "\n"));
        _file.Flush(flushToDisk: true);
    }

    // size, first and last megabyte: a model of many gigabytes is not read for it
    private static string Fingerprint(string path)
    {
        const int Part = 1 << 20;
        using FileStream file = File.OpenRead(path);
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

    // of the first window only: a run may go on with more windows of the same text
    private static string Fingerprint(TextWindows windows) => Convert.ToHexStringLower(SHA256.HashData(
        MemoryMarshal.AsBytes(windows[0].Span)));
}

/// <summary>First line of a journal.</summary>
internal sealed record JournalHeader(string Kind, int Version, string Model, string Text, int WindowLength);

/// <summary>Another line of a journal.</summary>
internal sealed record JournalLine(string Plan, WindowResult Result);
