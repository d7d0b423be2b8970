using System.CommandLine;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>What the verbs of <c>eval</c> that read a text share.</summary>
internal sealed class EvalArguments
{
    /// <summary>The held-out text, from the root of the checkout.</summary>
    private const string DefaultText = "tests/data/heldout-131k.txt";

    private readonly ModelArguments _model = new();
    private readonly SearchArguments _search = new();
    private readonly ContextArguments _context = new(null);

    private readonly Option<string?> _text = new("--text")
    {
        Description = $"A UTF-8 text file. Default: {DefaultText}, which the embedded model was not trained on.", HelpName = "FILE",
    };

    private readonly Option<string?> _documents = new("--documents")
    {
        Description = "Packs the documents of the text, between which lines of this content stand, one after the other into windows: "
            + "none sees another (block-causal). Default: plain windows of the text as it is.",
        HelpName = "LINE",
    };

    private readonly Option<int> _windows = Make.Integer(
        "--windows", "Windows, from the start of the text on.", 1, int.MaxValue, 4, "-w");

    private readonly Option<int> _length = Make.Integer("--length", "Tokens of a window.", 2, int.MaxValue, 4096);

    private readonly Option<int> _chunk = Make.Integer(
        "--chunk", "Tokens of one decode; 1: token by token, as generation computes.", 1, 65536, 512);

    private readonly Option<int> _decode = Make.Integer(
        "--decode",
        "The last N tokens of every window come one by one, as in generation, and are the only targets; the tokens before are their prompt. "
        + "Default: 0, every token is a target.",
        0, int.MaxValue, 0);

    private readonly Option<int> _seed = Make.Integer("--seed", "Seed of selectors with random parts.", 0, int.MaxValue, 0);

    private readonly EvalOutput _output = new();

    public void AddTo(Command command)
    {
        _model.AddTo(command);
        Option[] own = [_text, _documents, _windows, _length, _chunk, _decode, _seed];
        Array.ForEach(own, command.Options.Add);
        _output.AddTo(command);
        _search.AddTo(command, withMode: false);
        _context.AddTo(command, withLength: false);
    }

    /// <summary>The command line, as text; files outside the checkout by their names.</summary>
    public static string CommandLine(ParseResult parse) => BenchMachine.Command(parse.Tokens.Select(token => token.Value));

    /// <summary>Loads model and text, and opens the journal.</summary>
    public async Task<EvalRun> OpenAsync(
        string verb, ParseResult parse, Terminal terminal, CancellationToken cancellationToken)
    {
        string text = parse.GetValue(_text) ?? ModelArguments.FindFile(DefaultText);
        if (!File.Exists(text))
        {
            throw new IOException($"The text file '{text}' does not exist.");
        }

        AnnModel model = await _model.LoadAsync(parse, terminal, cancellationToken);
        try
        {
            TextWindows windows = Read(model, text, parse);
            string? folder = _output.Folder(parse);
            return new EvalRun(verb, model, windows, Journal(folder, "windows.jsonl", model, windows), terminal)
            {
                Folder = folder,
                Finish = document => _output.Write(parse, terminal, document),
                TextFile = Path.GetFileName(text),
                Command = CommandLine(parse),
                Search = _search.Read(parse) with { Mode = SearchMode.Exact, Seed = parse.GetValue(_seed) },
                Context = _context.Read(parse, windows.Length, new SearchOptions()),
                Chunk = parse.GetValue(_chunk),
                Generated = parse.GetValue(_decode),
            };
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>The same text and options with another model, to compare it with the first.</summary>
    /// <exception cref="ArgumentException">It splits the text into other tokens.</exception>
    public async Task<EvalRun> OpenOtherAsync(EvalRun first, string path, ParseResult parse, CancellationToken cancellationToken)
    {
        AnnModel model = await ModelArguments.LoadAsync(path, new ModelOptions(), parse, first.Terminal, cancellationToken);
        try
        {
            TextWindows windows = Read(model, parse.GetValue(_text) ?? ModelArguments.FindFile(DefaultText), parse);
            for (int i = 0; i < windows.Count; i++)
            {
                if (!windows[i].Span.SequenceEqual(first.Windows[i].Span))
                {
                    throw new ArgumentException(
                        $"{Path.GetFileName(path)} and {Path.GetFileName(first.Model.Path)} split the text into different tokens (window {i}); "
                        + "only models with one vocabulary have the same targets.");
                }
            }

            return first.Of(model, Journal(first.Folder, "windows-against.jsonl", model, windows));
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private TextWindows Read(AnnModel model, string text, ParseResult parse) =>
        TextWindows.Read(model, text, parse.GetValue(_length), parse.GetValue(_windows), parse.GetValue(_documents));

    private static EvaluationJournal Journal(string? folder, string name, AnnModel model, TextWindows windows) => folder is null
        ? EvaluationJournal.InMemory()
        : EvaluationJournal.Open(Path.Combine(folder, name), model, windows);
}
