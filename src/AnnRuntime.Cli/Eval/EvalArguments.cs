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

    private readonly Option<int> _windows = Make.Integer(
        "--windows", "Windows, from the start of the text on.", 1, int.MaxValue, 4, "-w");

    private readonly Option<int> _length = Make.Integer("--length", "Tokens of a window.", 2, int.MaxValue, 4096);

    private readonly Option<int> _chunk = Make.Integer(
        "--chunk", "Tokens of one decode; 1: token by token, as generation computes.", 1, 65536, 512);

    private readonly Option<int> _seed = Make.Integer("--seed", "Seed of selectors with random parts.", 0, int.MaxValue, 0);

    private readonly Option<string?> _out = new("--out", "-o")
    {
        Description = "Folder for VERB.json and the journal of finished windows. The same command with the same folder goes on "
            + "where it was interrupted; 'eval report' makes a page of it.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _json = JsonArgument.Create();

    public void AddTo(Command command)
    {
        _model.AddTo(command);
        Option[] own = [_text, _windows, _length, _chunk, _seed, _out, _json];
        Array.ForEach(own, command.Options.Add);
        _search.AddTo(command, withMode: false);
        _context.AddTo(command, withLength: false);
    }

    /// <summary>The command line, as text.</summary>
    public static string CommandLine(ParseResult parse) => "ann " + string.Join(' ', parse.Tokens.Select(token => token.Value));

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
            TextWindows windows = TextWindows.Read(model, text, parse.GetValue(_length), parse.GetValue(_windows));
            string? folder = parse.GetValue(_out);
            EvaluationJournal journal = folder is null
                ? EvaluationJournal.InMemory()
                : EvaluationJournal.Open(Path.Combine(folder, "windows.jsonl"), model, windows);
            return new EvalRun(verb, model, windows, journal, terminal)
            {
                Folder = folder,
                Json = parse.GetValue(_json),
                TextFile = Path.GetFileName(text),
                Command = CommandLine(parse),
                Search = _search.Read(parse) with { Mode = SearchMode.Exact, Seed = parse.GetValue(_seed) },
                Context = _context.Read(parse, windows.Length, new SearchOptions()),
                Chunk = parse.GetValue(_chunk),
            };
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }
}
