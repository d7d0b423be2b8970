using System.Text;

namespace AnnRuntime.Cli;

/// <summary>RESULTS.md and its plots, made from records alone.</summary>
internal static class ResultsPage
{
    /// <summary>Writes RESULTS.md and plots/*.svg into a folder.</summary>
    /// <returns>The files written.</returns>
    public static IReadOnlyList<string> Write(IReadOnlyList<BenchRecord> records, string folder)
    {
        string plots = Path.Combine(folder, "plots");
        _ = Directory.CreateDirectory(plots);
        var files = new List<string>();
        var page = new StringBuilder();
        _ = page.Append("""
            # Results

            Written by `./ann report` from `records/`; do not edit. Every row of a table was measured in the same run as the
            rows of the unpatched library (`stock`) beside it. `times stock's best` compares medians with the fastest of them.
            Models of random weights and randomly filled caches tell speed only, nothing about answers.

            """);
        foreach (BenchRecord record in records)
        {
            AppendRecord(page, record);
            foreach ((string kind, string unit, string name, string svg) in Plots(record))
            {
                string file = $"{record.Machine}-{record.Name}-{name}.svg";
                File.WriteAllText(Path.Combine(plots, file), svg);
                files.Add(Path.Combine(plots, file));
                _ = page.Append($"\n![{kind}: {unit} against depth](plots/{file})\n");
            }
        }

        string results = Path.Combine(folder, "RESULTS.md");
        File.WriteAllText(results, page.ToString());
        files.Insert(0, results);
        return files;
    }

    /// <summary>The plots of a record: of prompts and of generation, in tokens/s and in ms/token.</summary>
    private static IEnumerable<(string Kind, string Unit, string Name, string Svg)> Plots(BenchRecord record)
    {
        foreach ((string kind, string name, bool prompt) in ((string, string, bool)[])[("prompt", "pp", true), ("decode", "tg", false)])
        {
            BenchRow[] rows = [.. record.Latest().Where(row => row.NPrompt > 0 == prompt)];
            if (rows.Select(row => row.NDepth).Distinct().Count() < 2)
            {
                continue; // nothing to see against depth
            }

            yield return (kind, "tokens/s", $"{name}-ts", Plot(rows, $"{record.Name}: {kind}", "tokens/s", row => 1000 / row.MsPerToken));
            yield return (kind, "ms/token", $"{name}-ms", Plot(rows, $"{record.Name}: {kind}", "ms/token", row => row.MsPerToken));
        }
    }

    private static string Plot(IReadOnlyList<BenchRow> rows, string title, string unit, Func<BenchRow, double> value)
    {
        bool sizes = rows.Where(row => row.NReserved is not null).Select(row => row.NReserved).Distinct().Count() > 1;
        bool models = rows.Select(row => row.ModelType).Distinct().Count() > 1;
        var plot = new SvgPlot(title, "depth, cells in use", unit);
        foreach (IGrouping<string, BenchRow> series in rows.GroupBy(row =>
            row.Mode + (sizes && row.NReserved is { } n ? $", {n} reserved" : "") + (models ? $" ({row.ModelType})" : "")))
        {
            // one point a depth: of several tests or of the peer beside several models, the fastest
            plot.Add(series.Key, series.First().Search == "stock", series
                .GroupBy(row => row.NDepth).Select(depth => ((double)depth.Key, value(depth.MinBy(row => row.MsPerToken)!))));
        }

        return plot.Render();
    }

    // least and most of the runs of a record
    private static string Bandwidth(IEnumerable<BenchRow> rows, Func<BenchRow, long> value)
    {
        double[] measured = [.. rows.Select(row => value(row) / 1e9).Where(gigabytes => gigabytes > 0)];
        return measured is [] ? "not measured" : measured.Min() == measured.Max()
            ? $"{measured[0]:0.0}" : $"{measured.Min():0.0} to {measured.Max():0.0}";
    }

    private static void AppendRecord(StringBuilder page, BenchRecord record)
    {
        BenchRow[] ours = [.. record.Rows.Where(row => row.Search != "stock")];
        BenchRow first = ours.FirstOrDefault() ?? record.Rows[0];
        string dates = string.Join(", ", record.Rows.Select(row => row.TestTime.Split('T')[0]).Distinct());
        string commits = string.Join(", ", ours.Select(row => row.BuildCommit).Distinct());
        _ = page.Append($"""

            ## {record.Machine}, {record.Name}

            | | |
            |---|---|
            | machine | {first.CpuInfo}{(first.GpuInfo.Length > 0 ? ", " + first.GpuInfo : "")}, {Format.Bytes(first.MachineMemoryBytes)}, {first.NThreads} threads |
            | memory bandwidth | {Bandwidth(record.Rows, row => row.MachineReadBandwidth)} read, {Bandwidth(record.Rows, row => row.MachineCopyBandwidth)} copied (read + written), GB/s |
            | date | {dates} |
            | build | {commits}, llama.cpp {first.LlamaCpp} |

            ```sh
            {string.Join('\n', record.Rows.Select(row => row.Command).Distinct())}
            ```


            """);
        foreach (string line in BenchOutput.Markdown(record.Latest()))
        {
            _ = page.Append(line).Append('\n');
        }
    }
}
