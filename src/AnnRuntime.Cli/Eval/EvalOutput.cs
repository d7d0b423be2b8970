using System.CommandLine;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>Where the result of a verb of <c>eval</c> goes.</summary>
internal sealed class EvalOutput
{
    private readonly Option<string?> _folder = new("--out", "-o")
    {
        Description = "Folder for VERB.json and the journal of what is finished. The same command with the same folder goes on where it was "
            + "interrupted; 'eval report' makes a page of the folder.",
        HelpName = "DIR",
    };

    private readonly Option<string?> _name = new("--name")
    {
        Description = "Name of the file in the folder, without .json. Default: the verb.", HelpName = "NAME",
    };

    private readonly Option<bool> _json = JsonArgument.Create();

    public void AddTo(Command command)
    {
        command.Options.Add(_folder);
        command.Options.Add(_name);
        command.Options.Add(_json);
    }

    /// <summary>The folder; null: nothing is kept.</summary>
    public string? Folder(ParseResult parse) => parse.GetValue(_folder);

    /// <summary>A document that says what is measured where, without figures.</summary>
    public static EvaluationDocument Begin(string verb, AnnModel model, int threads, string command) => new()
    {
        Verb = verb,
        Model = Path.GetFileName(model.Path),
        ModelBytes = new FileInfo(model.Path).Length,
        Machine = Machine.Describe(threads),
        Date = DateTime.UtcNow.ToString("yyyy-MM-dd"),
        Command = command,
    };

    /// <summary>JSON or tables on stdout, and FOLDER/NAME.json.</summary>
    public void Write(ParseResult parse, Terminal terminal, EvaluationDocument document)
    {
        if (Folder(parse) is { } folder)
        {
            Directory.CreateDirectory(folder);
            string path = Path.Combine(folder, $"{parse.GetValue(_name) ?? document.Verb}.json");
            File.WriteAllText(path, document.ToJson() + "\n");
            terminal.Error.WriteLine(path);
        }

        if (parse.GetValue(_json))
        {
            terminal.Output.WriteLine(document.ToJson());
            return;
        }

        EvalTables.Write(terminal, document);
    }
}
