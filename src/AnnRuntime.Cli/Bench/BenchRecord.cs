using System.Text.Json;

namespace AnnRuntime.Cli;

/// <summary>A file of rows, <c>benchmarks/records/MACHINE/DATE-SUITE.jsonl</c>.</summary>
/// <param name="Machine">Name of the folder.</param>
/// <param name="Name">Name of the file without extension.</param>
/// <param name="Rows">In the order they were measured.</param>
internal sealed record BenchRecord(string Machine, string Name, IReadOnlyList<BenchRow> Rows)
{
    /// <summary>Where records lie.</summary>
    public static string DefaultFolder => Path.Combine(BenchMachine.Root, "benchmarks", "records");

    /// <summary>The file of a suite of today, or the path itself where a path is given.</summary>
    public static string PathOf(string suiteOrPath, string machine, DateTime utcNow) =>
        suiteOrPath.Contains('/', StringComparison.Ordinal) || suiteOrPath.EndsWith(".jsonl", StringComparison.Ordinal)
            ? Path.GetFullPath(suiteOrPath)
            : Path.Combine(DefaultFolder, machine, $"{utcNow:yyyy-MM-dd}-{suiteOrPath}.jsonl");

    /// <summary>Appends rows; a line is never changed again.</summary>
    public static void Append(string path, IEnumerable<BenchRow> rows)
    {
        _ = Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.AppendAllLines(path, rows.Select(BenchLine.Write));
    }

    /// <summary>All records below a folder, by machine and name.</summary>
    /// <exception cref="IOException">A line is no row; the message names file and line.</exception>
    public static IReadOnlyList<BenchRecord> ReadAll(string folder) =>
        [
            .. Directory.EnumerateFiles(folder, "*.jsonl", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal)
                .Select(Read)
                .Where(record => record.Rows.Count > 0),
        ];

    /// <summary>Of every model, variant and test the row measured last, by depth.</summary>
    public IReadOnlyList<BenchRow> Latest() =>
        [
            .. Rows.GroupBy(row => (row.ModelFilename, row.Mode, row.Test, row.NThreads, row.NReserved))
                .Select(group => group.Last())
                .OrderBy(row => row.NDepth).ThenBy(row => row.NPrompt == 0).ThenBy(row => row.Search == "stock"),
        ];

    // the suites of machines without .NET write times only
    private static BenchRow WithSpeeds(BenchRow row)
    {
        if (row.AvgTs > 0 || row.SamplesNs is not { Length: > 0 })
        {
            return row;
        }

        double[] speeds = BenchSamples.TokensPerSecond(row.SamplesNs, row.NPrompt + row.NGen);
        return row with { SamplesTs = speeds, AvgTs = speeds.Average(), StddevTs = BenchSamples.Deviation(speeds) };
    }

    private static BenchRecord Read(string path)
    {
        var rows = new List<BenchRow>();
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            try
            {
                rows.Add(WithSpeeds(BenchLine.Parse(line)));
            }
            catch (JsonException exception)
            {
                throw new IOException($"{path}, line {number} is no benchmark row: {exception.Message}", exception);
            }
        }

        return new BenchRecord(
            Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path)))!, Path.GetFileNameWithoutExtension(path), rows);
    }
}
