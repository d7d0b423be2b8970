using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>Where the result of a verb of <c>eval</c> goes.</summary>
internal static class EvalOutput
{
    /// <summary>JSON or tables on stdout, and FOLDER/VERB.json.</summary>
    public static void Write(Terminal terminal, EvaluationDocument document, string? folder, bool json)
    {
        if (folder is not null)
        {
            Directory.CreateDirectory(folder);
            string path = Path.Combine(folder, $"{document.Verb}.json");
            File.WriteAllText(path, document.ToJson() + "\n");
            terminal.Error.WriteLine(path);
        }

        if (json)
        {
            terminal.Output.WriteLine(document.ToJson());
            return;
        }

        EvalTables.Write(terminal, document);
    }
}
