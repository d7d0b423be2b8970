using System.CommandLine;
using System.Text;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The verb <c>eval report</c>: one page of everything in a folder.</summary>
internal static class EvalReport
{
    private static readonly string[] Order = ["ppl", "sweep", "layers", "coverage", "paired", "kld", "dynamic", "scaling", "tasks"];

    public static Command Create()
    {
        var folder = new Argument<string>("DIR") { Description = "A folder that verbs of eval wrote with --out." };
        Command command = new("report", "Writes report.html (one file, pictures inside), report.md and report.json from a folder of evaluations.") { folder };
        return command.Runs((parse, terminal, _) =>
        {
            foreach (string file in Write(parse.GetValue(folder)!))
            {
                terminal.Output.WriteLine(file);
            }

            return Task.FromResult(ExitCode.Ok);
        });
    }

    /// <summary>Writes the three files.</summary>
    /// <exception cref="IOException">The folder does not exist or holds no evaluation.</exception>
    public static IReadOnlyList<string> Write(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new IOException($"The folder '{folder}' does not exist.");
        }

        (string Name, EvaluationDocument Document)[] documents =
        [
            .. Directory.EnumerateFiles(folder, "*.json").Where(path => Path.GetFileName(path) != "report.json")
                .Select(path => (Name: Path.GetFileNameWithoutExtension(path), Document: EvaluationDocument.Read(path)))
                .OrderBy(pair => Array.IndexOf(Order, pair.Document.Verb)).ThenBy(pair => pair.Name, StringComparer.Ordinal),
        ];
        if (documents.FirstOrDefault(pair => !Order.Contains(pair.Document.Verb)) is { Name: { } unknown })
        {
            throw new ArgumentException($"'{unknown}.json' in '{folder}' is of no verb of eval: {string.Join(", ", Order)}.");
        }

        if (documents.Length == 0)
        {
            throw new IOException($"There is no evaluation in '{folder}'; verbs of eval write one with --out {folder}.");
        }

        (string Name, string Text)[] files =
        [
            ("report.html", EvalPage.Render(documents)),
            ("report.md", Markdown(documents)),
            ("report.json", "[" + string.Join(",\n", documents.Select(pair => pair.Document.ToJson())) + "]\n"),
        ];
        foreach ((string name, string text) in files)
        {
            File.WriteAllText(Path.Combine(folder, name), text);
        }

        return [.. files.Select(file => Path.Combine(folder, file.Name))];
    }

    private static string Markdown(IReadOnlyList<(string Name, EvaluationDocument Document)> documents)
    {
        var page = new StringBuilder("# Evaluation\n\n");
        page.AppendJoin('\n', EvaluationSummary.Of(documents).Select(sentence => $"- {sentence}")).Append('\n');
        foreach ((string name, EvaluationDocument document) in documents)
        {
            page.Append($"\n## {name}\n\n{document.Date}, {document.Machine}: `{document.Command}`\n");
            foreach (EvaluationTable table in EvaluationTables.Of(document))
            {
                page.Append($"\n{table.Title}\n\n| {string.Join(" | ", table.Columns)} |\n|");
                page.Append(string.Concat(table.Columns.Select((_, i) => i < table.TextColumns ? "---|" : "--:|"))).Append('\n');
                foreach (IReadOnlyList<string> row in table.Rows)
                {
                    page.Append($"| {string.Join(" | ", row)} |\n");
                }

                page.Append('\n').AppendJoin('\n', table.Notes).Append('\n');
            }
        }

        return page.ToString();
    }
}
