using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>One verb of <c>eval</c> at work on a text.</summary>
internal sealed class EvalRun(
    string verb, AnnModel model, TextWindows windows, EvaluationJournal journal, Terminal terminal) : IDisposable
{
    public AnnModel Model => model;

    public TextWindows Windows => windows;

    public Terminal Terminal => terminal;

    public required string? Folder { get; init; }

    public required bool Json { get; init; }

    public required string TextFile { get; init; }

    public required string Command { get; init; }

    public required SearchOptions Search { get; init; }

    public required ContextOptions Context { get; init; }

    public required int Chunk { get; init; }

    /// <summary>Variants of texts like exact:128.</summary>
    public IReadOnlyList<EvaluationVariant> Parse(IEnumerable<string> texts)
    {
        EvaluationVariant[] variants = [.. texts.Select(text => EvaluationVariant.Parse(text, model.Info, Search))];
        return variants;
    }

    /// <summary>A selector with a K.</summary>
    public EvaluationVariant Variant(string selector, int k) => EvaluationVariant.Create(selector, k, model.Info, Search);

    /// <summary>A plan on all windows.</summary>
    public EvaluationPlan Plan(IReadOnlyList<EvaluationVariant> variants) => new()
    {
        Variants = variants,
        Windows = windows,
        Context = Context,
        Chunk = Chunk,
    };

    /// <summary>Computes what the journal does not hold.</summary>
    public Task<IReadOnlyList<WindowResult>> RunAsync(EvaluationPlan plan, CancellationToken cancellationToken) =>
        terminal.ProgressAsync(
            $"{verb}: {plan.Variants.Count} variants, {windows.Count} windows of {windows.Length} tokens",
            step => EvaluationRunner.RunAsync(model, plan, journal, step, cancellationToken));

    /// <summary>The document, without its figures.</summary>
    public EvaluationDocument Document() => new()
    {
        Verb = verb,
        Model = Path.GetFileName(model.Path),
        ModelBytes = new FileInfo(model.Path).Length,
        Text = TextFile,
        WindowLength = windows.Length,
        Windows = windows.Count,
        Date = DateTime.UtcNow.ToString("yyyy-MM-dd"),
        Command = Command,
    };

    /// <summary>Shows the document and keeps it.</summary>
    public void Finish(EvaluationDocument document) => EvalOutput.Write(terminal, document, Folder, Json);

    public void Dispose()
    {
        journal.Dispose();
        model.Dispose();
    }
}
