using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Recall for people: every answer, then sums.</summary>
internal static class RecallTables
{
    /// <summary>A row per answer; nothing is left out.</summary>
    public static void WriteRows(Terminal terminal, IReadOnlyList<RecallRow> rows)
    {
        Table table = Create(
            ["attention", "needle", "seed", "password", "answer", ""],
            ["prompt tokens", "prompt", "tokens/s", "decode tokens/s", "ms/token", "mass", "teacher recall", "K/V cache", "search keys"]);
        foreach (RecallRow row in rows)
        {
            table.AddRow(
                new Text(row.Variant),
                new Text(row.Needle),
                new Text($"{row.Seed}"),
                new Text(row.Expected),
                new Text(row.Answer.Length == 0 ? "(nothing)" : row.Answer.ReplaceLineEndings(" ")),
                new Text(row.Pass ? "right" : "WRONG", new Style(row.Pass ? Color.Green : Color.Red)),
                new Text($"{row.Length}"),
                new Text($"{row.Timings.PromptMs / 1000:0.00} s"),
                new Text($"{row.Timings.PromptTokensPerSecond:0}"),
                new Text($"{row.Timings.DecodeTokensPerSecond:0.0}"),
                new Text($"{row.Timings.DecodeMsPerToken:0.00}"),
                new Text(Format.Share(row.Mass)),
                new Text(Format.Share(row.RecallTeacher)),
                new Text(Format.Bytes(row.Memory.KBytes + row.Memory.VBytes)),
                new Text(row.Memory.SearchBytes == 0 ? "-" : Format.Bytes(row.Memory.SearchBytes)));
        }

        terminal.Screen.Write(table);
    }

    /// <summary>A row per variant and length.</summary>
    public static void WriteSummary(Terminal terminal, IReadOnlyList<RecallSummary> summary)
    {
        Table table = Create(
            ["attention"],
            ["prompt tokens", "right", "prompt tokens/s", "decode tokens/s", "ms/token", "mass", "teacher recall"]);
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
                Format.Share(row.RecallTeacher));
        }

        terminal.Screen.Write(table);
    }

    private static Table Create(string[] left, string[] right)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string title in left)
        {
            table.AddColumn(new TableColumn(title).NoWrap());
        }

        foreach (string title in right)
        {
            table.AddColumn(new TableColumn(title).RightAligned());
        }

        return table;
    }
}
