using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Statistics of every layer, for people.</summary>
internal static class RetrievalTable
{
    public static void Write(Terminal terminal, RetrievalStatistics statistics)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string title in (string[])["layer", "queries", "visible", "attended", "mass", "teacher recall", "search", "attention"])
        {
            table.AddColumn(new TableColumn(title).RightAligned());
        }

        foreach (LayerRetrieval layer in statistics.Layers)
        {
            table.AddRow(
                layer.Searched ? $"{layer.Layer}" : $"{layer.Layer} reserved",
                Format.Count(layer.Queries),
                layer.Visible is { } visible ? $"{visible:0}" : "-",
                layer.Attended is { } attended ? $"{attended:0}" : "-",
                Format.Share(layer.Mass),
                Format.Share(layer.TeacherRecall),
                Time(layer.SearchTime),
                Time(layer.AttentionTime));
        }

        table.AddRow(
            "all", "", "", "", Format.Share(statistics.Mass), Format.Share(statistics.TeacherRecall),
            Time(statistics.SearchTime), Time(statistics.AttentionTime));
        terminal.Status.Write(table);
    }

    private static string Time(TimeSpan time) => time == TimeSpan.Zero ? "-" : $"{time.TotalMilliseconds:0.0} ms";
}
