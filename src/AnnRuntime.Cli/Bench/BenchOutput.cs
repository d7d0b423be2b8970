using System.Text.Json;

namespace AnnRuntime.Cli;

/// <summary>Rows as text: md for people, csv, json and jsonl with every column.</summary>
internal static class BenchOutput
{
    public static readonly string[] Formats = ["md", "csv", "json", "jsonl"];

    /// <summary>Writes all rows.</summary>
    public static void Write(TextWriter writer, IReadOnlyList<BenchRow> rows, string format)
    {
        IEnumerable<string> lines = format switch
        {
            "csv" => [string.Join(',', BenchLine.Columns), .. rows.Select(CsvLine)],
            "json" => ["[", .. rows.Select((row, i) => "  " + BenchLine.Write(row) + (i < rows.Count - 1 ? "," : "")), "]"],
            "jsonl" => rows.Select(BenchLine.Write),
            _ => Markdown(rows),
        };
        foreach (string line in lines)
        {
            writer.WriteLine(line);
        }
    }

    /// <summary>Test by test, the speeds of all variants.</summary>
    public static IEnumerable<string> Markdown(IReadOnlyList<BenchRow> rows)
    {
        yield return "| model | mode | test | t/s | ms/token | times stock's best | search + attention + other, ms/token | recall_index |";
        yield return "|---|---|---|--:|--:|--:|--:|--:|";
        foreach (BenchRow row in rows)
        {
            string ratio = row.RatioToStock is { } times ? $"{times:0.00}" : "-";
            string parts = row.OtherNsPerToken is { } other
                ? $"{row.SearchNsPerToken / 1e6:0.00} + {row.AttentionNsPerToken / 1e6:0.00} + {other / 1e6:0.00}"
                : "-";
            yield return $"| {row.ModelFilename} | {row.Mode} | {row.Test} | {row.AvgTs:0.00} ± {row.StddevTs:0.00} "
                + $"| {row.MsPerToken:0.00} | {ratio} | {parts} | {Format.Share(row.RecallIndex)} |";
        }
    }

    private static string CsvLine(BenchRow row) =>
        string.Join(',', JsonDocument.Parse(BenchLine.Write(row)).RootElement.EnumerateObject().Select(p => Cell(p.Value)));

    // quoted like llama-bench's; lists stay JSON, null is empty
    private static string Cell(JsonElement value)
    {
        string text = value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.Null => "",
            JsonValueKind.True => "1",
            JsonValueKind.False => "0",
            _ => value.GetRawText(),
        };
        return $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }
}
