using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>A file of answers, one JSON line each, by which an interrupted run of tasks goes on where it stopped.</summary>
/// <remarks>Its first line names the model; a run of another refuses the file. Prompts are told apart by their tokens.</remarks>
public sealed class TaskJournal : IDisposable
{
    private readonly Dictionary<string, string> _answers = [];
    private JournalFile? _file;

    private TaskJournal()
    {
    }

    /// <summary>Answers found when it was opened.</summary>
    public int Found { get; private set; }

    /// <summary>A journal that keeps nothing.</summary>
    public static TaskJournal InMemory() => new();

    /// <summary>Opens or begins a journal. A line cut off by an interruption is removed.</summary>
    /// <param name="path">The file; its folder is made where it is missing.</param>
    /// <param name="model">The model.</param>
    /// <exception cref="ArgumentException">The file is of another model, or no journal.</exception>
    /// <exception cref="IOException">The file cannot be read or written, or another run has it open.</exception>
    public static TaskJournal Open(string path, AnnModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        var journal = new TaskJournal();
        journal._file = JournalFile.Open(
            path,
            new JournalHeader("ann-eval-tasks", 1, JournalFile.Fingerprint(model), "", 0),
            "answers",
            "another model",
            line =>
            {
                TaskJournalLine entry = JsonSerializer.Deserialize(line, EvaluationJson.Lines.TaskJournalLine)!;
                journal._answers[entry.Key] = entry.Answer;
            });
        journal.Found = journal._answers.Count;
        return journal;
    }

    /// <summary>What beside the model decides an answer.</summary>
    internal static string Key(EvaluationVariant variant, TaskPrompt prompt, ContextOptions options)
    {
        byte[] tokens = SHA256.HashData(MemoryMarshal.AsBytes<int>([.. prompt.Tokens, prompt.AnswerTokens]));
        return $"{variant.Key}|{options.KeyType}/{options.ValueType}/{options.SearchKeyType} flash={options.FlashAttention}|"
            + Convert.ToHexStringLower(tokens)[..24];
    }

    /// <summary>An answer, or null.</summary>
    internal string? Find(string key) => _answers.GetValueOrDefault(key);

    /// <summary>Adds an answer; it is on the disk when this returns.</summary>
    internal void Add(string key, string answer)
    {
        _answers[key] = answer;
        _file?.Add(JsonSerializer.Serialize(new TaskJournalLine(key, answer), EvaluationJson.Lines.TaskJournalLine));
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file?.Dispose();
}

/// <summary>A line of the journal but the first.</summary>
internal sealed record TaskJournalLine(string Key, string Answer);
