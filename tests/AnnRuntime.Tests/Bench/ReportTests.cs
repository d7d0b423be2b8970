using System.Xml.Linq;
using AnnRuntime.Cli;
using AnnRuntime.Tests.Cli;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Bench;

/// <summary>RESULTS.md and plots from a sample record.</summary>
public sealed class ReportTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Fact]
    public async Task A_record_becomes_a_page_and_plots()
    {
        using var folder = new ScratchFolder();
        string file = Path.Combine(folder["records"], "some-cpu-2c", "2026-01-02-decode.jsonl");
        BenchRecord.Append(file, Rows());
        BenchRecord.Append(file, [Sample.Row("exact K=128", "exact", 32, 32768, 64_000_000)]); // measured again

        (int code, string output, string error) = await CommandLine.RunAsync(
            ["report", "--records", folder["records"], "-o", folder["out"]], TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Ok, code);
        Assert.Empty(error);
        Assert.Contains("RESULTS.md", output);

        string page = File.ReadAllText(Path.Combine(folder["out"], "RESULTS.md"));
        Assert.Contains("## some-cpu-2c, 2026-01-02-decode", page);
        Assert.Contains("| date | 2026-01-02 |", page);
        Assert.Contains("Some CPU", page);
        Assert.Contains("./ann bench --stock\n", page);
        Assert.Contains("tg32 @ d32768", page);
        Assert.Contains("| 2.00 |", page); // ms/token of the row that was measured again
        foreach (string name in (string[])["tg-ts", "tg-ms"])
        {
            string plot = $"some-cpu-2c-2026-01-02-decode-{name}.svg";
            Assert.Contains($"(plots/{plot})", page);
            XDocument svg = XDocument.Load(Path.Combine(folder["out"], "plots", plot));
            Assert.Equal(2, svg.Descendants(Svg + "polyline").Count());
            Assert.Equal(6, svg.Descendants(Svg + "circle").Count());
            Assert.Contains("stock fa0 f16", svg.Descendants(Svg + "text").Select(text => text.Value));
            Assert.All(
                svg.Descendants(Svg + "circle"),
                circle => Assert.InRange((double)circle.Attribute("cx")!, 0, 860));
        }
    }

    [Fact]
    public async Task A_line_that_is_no_row_is_told_by_its_number()
    {
        using var folder = new ScratchFolder();
        BenchRecord.Append(folder["a.jsonl"], [Sample.Row("dense", "dense", 32, 0, 1)]);
        File.AppendAllText(folder["a.jsonl"], "{broken\n");
        (int code, _, string error) = await CommandLine.RunAsync(
            ["report", "--records", Path.GetDirectoryName(folder["a.jsonl"])!, "-o", folder["out"]],
            TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("a.jsonl, line 2", error);
    }

    [Fact]
    public async Task No_records_is_told()
    {
        using var folder = new ScratchFolder();
        (int code, _, string error) = await CommandLine.RunAsync(
            ["report", "--records", folder["nothing"]], TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("There are no records", error);
    }

    [Fact]
    public void A_plot_without_points_or_with_a_single_one_is_still_a_document()
    {
        var empty = new SvgPlot("nothing <here>", "x", "y");
        empty.Add("zeros", false, [(0, 0)]);
        Assert.Empty(XDocument.Parse(empty.Render()).Descendants(Svg + "polyline"));
        var single = new SvgPlot("one", "x", "y");
        single.Add("point", false, [(0, 3.5)]);
        string svg = single.Render();
        Assert.DoesNotContain("NaN", svg);
        Assert.Single(XDocument.Parse(svg).Descendants(Svg + "circle"));
    }

    private static IReadOnlyList<BenchRow> Rows()
    {
        (int Depth, long Stock, long Exact)[] times =
            [(0, 700_000_000, 710_000_000), (4096, 2_300_000_000, 800_000_000), (32768, 12_000_000_000, 1_000_000_000)];
        var rows = new List<BenchRow>();
        foreach ((int depth, long stock, long exact) in times)
        {
            rows.Add(Sample.Row("stock fa0 f16", "stock", 32, depth, stock));
            rows.Add(Sample.Row("exact K=128", "exact", 32, depth, exact));
        }

        return BenchRunner.WithRatios(rows);
    }
}
