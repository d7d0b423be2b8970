using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Recall for people: every answer, then sums. Both fit into about 100 columns.</summary>
internal static class RecallTables
{
    /// <summary>Longest answer shown; the longest password has 23 characters.</summary>
    private const int AnswerLength = 24;

    /// <summary>Prompt by prompt: its password, then the answer of every variant. Nothing is left out.</summary>
    public static void WriteRows(Terminal terminal, IReadOnlyList<RecallRow> rows)
    {
        Table table = Create(
            ["attention", "answer", ""], ["prompt", "tokens/s", "ms/token", "mass", "recall"]);
        foreach (IGrouping<(int, string, int), RecallRow> prompt in rows.GroupBy(row => (row.Length, row.Needle, row.Seed)))
        {
            RecallRow first = prompt.First();
            var bold = new Style(decoration: Decoration.Bold);
            table.AddRow(
                new Text($"{first.Length} tokens, {first.Needle}, seed {first.Seed}", bold), new Text(first.Expected, bold));
            foreach (RecallRow row in prompt)
            {
                table.AddRow(
                    new Text($"  {row.Variant}"),
                    new Text(Answer(row)),
                    new Text(row.Pass ? "right" : "WRONG", new Style(row.Pass ? Color.Green : Color.Red)),
                    new Text($"{row.Timings.PromptMs / 1000:0.0} s"),
                    new Text($"{row.Timings.PromptTokensPerSecond:0}"),
                    new Text($"{row.Timings.DecodeMsPerToken:0.00}"),
                    new Text(Format.Share(row.Mass)),
                    new Text(Format.Share(row.RecallTeacher)));
            }
        }

        terminal.Screen.Write(table);
    }

    /// <summary>A row per variant and length, with the sizes of its caches.</summary>
    public static void WriteSummary(Terminal terminal, IReadOnlyList<RecallSummary> summary)
    {
        Table table = Create(
            ["attention"],
            ["length", "right", "prompt tok/s", "decode tok/s", "ms/token", "mass", "recall", "K/V cache", "search keys"]);
        foreach (RecallSummary row in summary)
        {
            table.AddRow(
                row.Variant,
                $"{row.Length}",
                $"{row.Passed} of {row.Prompts}",
                $"{row.PromptTokensPerSecond:0}",
                $"{row.DecodeTokensPerSecond:0.0}",
                $"{row.DecodeMsPerToken:0.00}",
                Format.Share(row.Mass),
                Format.Share(row.RecallTeacher),
                Format.Bytes(row.CacheBytes),
                row.SearchBytes == 0 ? "-" : Format.Bytes(row.SearchBytes));
        }

        terminal.Screen.Write(table);
        terminal.Output.WriteLine(
            "mass: share of full attention's weight on the cells attended to. recall: share of full attention's top K cells");
        terminal.Output.WriteLine(
            "among them (recall_teacher). Both are measured in a second pass over the answer, so they cost the times nothing.");
    }

    private static string Answer(RecallRow row)
    {
        string answer = row.Answer.ReplaceLineEndings(" ");
        return answer.Length == 0 ? "(nothing)"
            : answer.Length <= AnswerLength ? answer
            : $"{answer[..(AnswerLength - 3)]}...";
    }

    private static Table Create(string[] left, string[] right)
    {
        Table table = new Table().Border(TableBorder.None);
        foreach (string title in left)
        {
            table.AddColumn(new TableColumn(title).NoWrap().PadRight(2));
        }

        foreach (string title in right)
        {
            table.AddColumn(new TableColumn(title).NoWrap().RightAligned().PadRight(2));
        }

        return table;
    }
}
