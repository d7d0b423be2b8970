using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>A file of finished windows, one JSON line each, by which an interrupted run goes on where it stopped.</summary>
/// <remarks>Its first line names model, text and window length; a run of others refuses the file.</remarks>
public sealed class EvaluationJournal : IDisposable
{
    private readonly Dictionary<string, WindowResult> _finished = [];
    private JournalFile? _file;

    private EvaluationJournal()
    {
    }

    /// <summary>Windows found when it was opened.</summary>
    public int Found { get; private set; }

    /// <summary>A journal that keeps nothing.</summary>
    public static EvaluationJournal InMemory() => new();

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
        var journal = new EvaluationJournal();
        journal._file = JournalFile.Open(
            path,
            new JournalHeader("ann-eval", 2, JournalFile.Fingerprint(model), Fingerprint(windows), windows.Length),
            "evaluated windows",
            "another model, text or window length",
            line =>
            {
                JournalLine entry = JsonSerializer.Deserialize(line, EvaluationJson.Lines.JournalLine)!;
                journal._finished[Key(entry.Plan, entry.Result.Variant, entry.Result.Window)] = entry.Result;
            });
        journal.Found = journal._finished.Count;
        return journal;
    }

    /// <summary>A finished window, or null.</summary>
    internal WindowResult? Find(string plan, string variant, int window) => _finished.GetValueOrDefault(Key(plan, variant, window));

    /// <summary>Adds a window; it is on the disk when this returns.</summary>
    internal void Add(string plan, WindowResult result)
    {
        _finished[Key(plan, result.Variant, result.Window)] = result;
        _file?.Add(JsonSerializer.Serialize(new JournalLine(plan, result), EvaluationJson.Lines.JournalLine));
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file?.Dispose();

    private static string Key(string plan, string variant, int window) => $"{window}|{variant}|{plan}";

    // of the first window only: a run may go on with more windows of the same text
    private static string Fingerprint(TextWindows windows) => Convert.ToHexStringLower(SHA256.HashData(
        MemoryMarshal.AsBytes<int>([.. windows[0].Span, .. windows.Segments(0).Skip(1)])));
}

/// <summary>Another line of a journal.</summary>
internal sealed record JournalLine(string Plan, WindowResult Result);
