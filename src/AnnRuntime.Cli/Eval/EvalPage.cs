using System.Net;
using System.Text;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>Evaluations as one HTML page with its pictures inside.</summary>
internal static class EvalPage
{
    private const string Style =
        "body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#27272a}"
        + "h1{font-size:1.6em;margin-bottom:.2em}h2{margin-top:2.2em;border-bottom:2px solid #d4d4d8}h3{font-size:1em;margin:1.6em 0 .4em}"
        + "nav a{margin-right:1em}a{color:#1b6ca8}ul{padding-left:1.2em}"
        + "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}"
        + "td,th{padding:3px 10px;border-bottom:1px solid #e4e4e7;text-align:right;white-space:nowrap}"
        + "th{border-bottom:1px solid #71717a}tbody tr:hover{background:#f4f4f5}td.t,th.t{text-align:left}"
        + "p.note,p.from{color:#52525b;font-size:13px;margin:.4em 0}code{background:#f4f4f5;padding:1px 4px;overflow-wrap:anywhere}"
        + "svg{max-width:100%;height:auto;display:block}.scroll{overflow-x:auto}.maps{display:flex;flex-wrap:wrap;gap:14px 26px;margin:1em 0}"
        + "details{margin:.8em 0}summary{cursor:pointer;color:#1b6ca8}@media print{details{display:none}}";

    private static readonly Dictionary<string, (string Title, string Purpose)> Sections = new()
    {
        ["ppl"] = ("Perplexity", "How well the next token is predicted, with full attention and with choices of cells."),
        ["sweep"] = ("Sweep over K", "What more cells buy: gap to full attention's perplexity, attention mass kept, agreement with the best cells."),
        ["layers"] = ("Layer by layer", "How much of the attention the learned search keeps in each layer, beside an oracle that knows all logits."),
        ["coverage"] = ("Coverage", "How many layers may search, and which: gap, mass and decode speed."),
        ["paired"] = ("Paired comparisons", "The same tokens twice: the mean difference of log-likelihood and how sure it is."),
        ["kld"] = ("Divergence", "How far next-token distributions move from full attention's."),
        ["dynamic"] = ("Growing and frozen index", "Attention mass of queries behind the prompt when generated cells enter the index, and when they do not."),
        ["scaling"] = ("Scaling", "What choosing cells costs from four thousand to four million cells."),
        ["tasks"] = ("Long-context tasks", "Answers to questions whose evidence is hidden in a long text. The difference to full attention is the result."),
    };

    /// <summary>The page.</summary>
    public static string Render(IReadOnlyList<(string Name, EvaluationDocument Document)> documents)
    {
        var page = new StringBuilder();
        string title = $"Evaluation of {string.Join(", ", documents.Select(pair => pair.Document.Model).Distinct())}";
        page.Append($"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{Escape(title)}</title><style>{Style}</style></head><body>\n");
        page.Append($"<h1>{Escape(title)}</h1>\n<nav>");
        page.AppendJoin("", documents.Select(pair => $"<a href=\"#{Escape(pair.Name)}\">{Escape(Title(pair.Name, pair.Document))}</a>"));
        page.Append("</nav>\n<h2 id=\"summary\">In short</h2>\n<ul>\n");
        page.AppendJoin("", EvaluationSummary.Of(documents).Select(sentence => $"<li>{Escape(sentence)}</li>\n"));
        page.Append("</ul>\n");
        foreach ((string name, EvaluationDocument document) in documents)
        {
            Append(page, name, document);
        }

        return page.Append("</body></html>\n").ToString();
    }

    private static string Title(string name, EvaluationDocument document) =>
        name == document.Verb ? Sections[document.Verb].Title : $"{Sections[document.Verb].Title} ({name})";

    private static void Append(StringBuilder page, string name, EvaluationDocument document)
    {
        page.Append($"<h2 id=\"{Escape(name)}\">{Escape(Title(name, document))}</h2>\n<p>{Escape(Sections[document.Verb].Purpose)}</p>\n");
        string machine = document.Machine is { } where ? $", {where}" : "";
        page.Append($"<p class=\"from\">{document.Date}{Escape(machine)}: <code>{Escape(document.Command)}</code></p>\n");
        page.Append("<div class=\"maps\">\n");
        page.AppendJoin("", EvalPlots.Of(document).Select(svg => $"<div>{svg}</div>\n"));
        page.Append("</div>\n");
        foreach (EvaluationTable table in EvaluationTables.Of(document))
        {
            Append(page, table);
        }

        if (document.Tasks is { } tasks)
        {
            Append(page, tasks);
        }
    }

    private static void Append(StringBuilder page, EvaluationTable table)
    {
        string Row(string tag, IReadOnlyList<string> cells) =>
            "<tr>" + string.Concat(cells.Select((cell, i) => $"<{tag}{(i < table.TextColumns ? " class=\"t\"" : "")}>{Escape(cell)}</{tag}>")) + "</tr>\n";

        page.Append($"<h3>{Escape(table.Title)}</h3>\n<div class=\"scroll\"><table>\n<thead>{Row("th", table.Columns)}</thead><tbody>\n");
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            page.Append(Row("td", row));
        }

        page.Append("</tbody></table></div>\n");
        foreach (string note in table.Notes)
        {
            page.Append($"<p class=\"note\">{Escape(note)}</p>\n");
        }
    }

    // what was answered, for people who want to see it
    private static void Append(StringBuilder page, IReadOnlyList<TaskScore> tasks)
    {
        page.Append($"<details><summary>All {tasks.Sum(score => score.Answers.Count)} answers</summary><div class=\"scroll\"><table>\n");
        page.Append("<thead><tr><th class=\"t\">task</th><th>length</th><th class=\"t\">attention</th><th>score</th><th class=\"t\">wanted</th><th class=\"t\">answer</th></tr></thead><tbody>\n");
        foreach (TaskScore score in tasks.OrderBy(score => score.Task, StringComparer.Ordinal).ThenBy(score => score.Length))
        {
            foreach (TaskAnswer answer in score.Answers)
            {
                page.Append($"<tr><td class=\"t\">{Escape(score.Task)} {answer.Sample}</td><td>{score.Length}</td><td class=\"t\">{Escape(score.Variant)}</td>"
                    + $"<td>{EvaluationTables.Number(answer.Score, 0)}</td><td class=\"t\">{Escape(Cut(string.Join(", ", answer.References)))}</td><td class=\"t\">{Escape(Cut(answer.Answer))}</td></tr>\n");
            }
        }

        page.Append("</tbody></table></div></details>\n");
    }

    private static string Cut(string text)
    {
        const int Most = 70;
        string line = text.ReplaceLineEndings(" ");
        return line.Length <= Most ? line : line[..Most] + "…";
    }

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
