using System.CommandLine;
using System.Net;
using System.Text;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The verb <c>eval report</c>: one page of everything in a folder.</summary>
internal static class EvalReport
{
    private static readonly string[] Order = ["ppl", "sweep", "layers", "coverage", "paired", "kld", "dynamic", "tasks"];

    private const string Style =
        "body{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#27272a}"
        + "table{border-collapse:collapse;font-size:13px;margin:1em 0}td,th{padding:3px 10px;border-bottom:1px solid #e4e4e7;text-align:right}"
        + "td.t,th.t{text-align:left}h2{margin-top:2em;border-bottom:1px solid #d4d4d8}p.note,p.from{color:#71717a;font-size:13px}"
        + "code{background:#f4f4f5;padding:1px 4px}svg{max-width:100%;height:auto;display:block;margin:1em 0}.scroll{overflow-x:auto}";

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

        EvaluationDocument[] documents =
        [
            .. Order.Select(verb => Path.Combine(folder, $"{verb}.json")).Where(File.Exists).Select(EvaluationDocument.Read),
        ];
        if (documents.Length == 0)
        {
            throw new IOException($"There is no evaluation in '{folder}'; verbs of eval write one with --out {folder}.");
        }

        (string Name, string Text)[] files =
        [
            ("report.html", Html(documents)),
            ("report.md", Markdown(documents)),
            ("report.json", "[" + string.Join(",\n", documents.Select(document => document.ToJson())) + "]\n"),
        ];
        foreach ((string name, string text) in files)
        {
            File.WriteAllText(Path.Combine(folder, name), text);
        }

        return [.. files.Select(file => Path.Combine(folder, file.Name))];
    }

    private static string Html(IReadOnlyList<EvaluationDocument> documents)
    {
        var page = new StringBuilder();
        string title = $"Evaluation of {string.Join(", ", documents.Select(document => document.Model).Distinct())}";
        page.Append($"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{Escape(title)}</title><style>{Style}</style></head><body>\n");
        page.Append($"<h1>{Escape(title)}</h1>\n");
        foreach (EvaluationDocument document in documents)
        {
            page.Append($"<h2 id=\"{document.Verb}\">{Escape(document.Verb)}</h2>\n<p class=\"from\">{document.Date}: <code>{Escape(document.Command)}</code></p>\n");
            foreach (string svg in EvalPlots.Of(document))
            {
                page.Append(svg);
            }

            foreach (EvaluationTable table in EvaluationTables.Of(document))
            {
                AppendTable(page, table);
            }
        }

        return page.Append("</body></html>\n").ToString();
    }

    private static void AppendTable(StringBuilder page, EvaluationTable table)
    {
        string Row(string tag, IReadOnlyList<string> cells) =>
            "<tr>" + string.Concat(cells.Select((cell, i) => $"<{tag}{(i < table.TextColumns ? " class=\"t\"" : "")}>{Escape(cell)}</{tag}>")) + "</tr>\n";

        page.Append($"<h3>{Escape(table.Title)}</h3>\n<div class=\"scroll\"><table>\n").Append(Row("th", table.Columns));
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            page.Append(Row("td", row));
        }

        page.Append("</table></div>\n");
        foreach (string note in table.Notes)
        {
            page.Append($"<p class=\"note\">{Escape(note)}</p>\n");
        }
    }

    private static string Markdown(IReadOnlyList<EvaluationDocument> documents)
    {
        var page = new StringBuilder("# Evaluation\n");
        foreach (EvaluationDocument document in documents)
        {
            page.Append($"\n## {document.Verb}\n\n{document.Date}: `{document.Command}`\n");
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

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
