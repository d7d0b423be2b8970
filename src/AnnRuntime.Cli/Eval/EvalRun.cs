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

    /// <summary>Shows the document and keeps it.</summary>
    public required Action<EvaluationDocument> Finish { get; init; }

    public required string TextFile { get; init; }

    public required string Command { get; init; }

    public required SearchOptions Search { get; init; }

    public required ContextOptions Context { get; init; }

    public required int Chunk { get; init; }

    public required int Generated { get; init; }

    /// <summary>The same with another model.</summary>
    public EvalRun Of(AnnModel other, EvaluationJournal itsJournal) => new(verb, other, windows, itsJournal, terminal)
    {
        Folder = Folder,
        Finish = Finish,
        TextFile = TextFile,
        Command = Command,
        Search = Search,
        Context = Context,
        Chunk = Chunk,
        Generated = Generated,
    };

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
        Generated = Generated,
    };

    /// <summary>Computes what the journal does not hold.</summary>
    public Task<IReadOnlyList<WindowResult>> RunAsync(EvaluationPlan plan, CancellationToken cancellationToken) =>
        terminal.ProgressAsync(
            $"{verb}: {Path.GetFileName(model.Path)}, {plan.Variants.Count} variants, {windows.Count} windows of {windows.Length} tokens",
            step => EvaluationRunner.RunAsync(model, plan, journal, step, cancellationToken));

    /// <summary>The document, without its figures.</summary>
    public EvaluationDocument Document() => EvalOutput.Begin(verb, model, Context.Threads, Command) with
    {
        Text = TextFile,
        WindowLength = windows.Length,
        Windows = windows.Count,
        Generated = Generated > 0 ? Generated : null,
        Documents = windows.MostSegments > 1 ? Enumerable.Range(0, windows.Count).Sum(window => windows.Segments(window).Count) : null,
    };

    public void Dispose()
    {
        journal.Dispose();
        model.Dispose();
    }
}
