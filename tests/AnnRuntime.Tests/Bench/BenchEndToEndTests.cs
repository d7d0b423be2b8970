using System.Text.Json;
using AnnRuntime.Cli;
using AnnRuntime.Tests.Cli;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Bench;

/// <summary>The verb bench through the program's entry point, at sizes that take a moment.</summary>
public sealed class BenchEndToEndTests
{
    private static readonly string[] Tiny = ["bench", "-m", ModelFixture.ModelPath, "-r", "2", "--threads", "1", "--ubatch", "64"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_variant_runs_every_test_and_is_recorded()
    {
        using var folder = new ScratchFolder();
        (int code, string output, string error) = await CommandLine.RunAsync(
            [.. Tiny, "-p", "16", "-n", "2", "-d", "0,300", "--top-k", "48,64", "-o", "json", "--record", folder["r.jsonl"]], Token);
        Assert.True(code == ExitCode.Ok, error);
        using JsonDocument json = JsonDocument.Parse(output);
        JsonElement[] rows = [.. json.RootElement.EnumerateArray()];
        Assert.Equal(3 * 2 * 2, rows.Length); // dense and two K; pp and tg; two depths
        foreach (JsonElement row in rows)
        {
            Assert.Equal(2, row.GetProperty("samples_ns").GetArrayLength());
            Assert.Equal(3, row.GetProperty("n_alternated").GetInt32());
            Assert.True(row.GetProperty("avg_ts").GetDouble() > 0);
            Assert.True(row.GetProperty("k_bytes").GetInt64() > 0);
            Assert.True(row.GetProperty("peak_rss_bytes").GetInt64() > 0);
            Assert.True(row.GetProperty("other_ns_per_token").GetInt64() > 0);
            Assert.Equal(row.GetProperty("n_depth").GetInt32() == 0 ? "none" : "random", row.GetProperty("fill").GetString());
            Assert.StartsWith("./ann bench", row.GetProperty("command").GetString());
            Assert.DoesNotContain(ModelFixture.Root, row.GetRawText());
        }

        JsonElement exact = rows.Last(row => row.GetProperty("search").GetString() == "exact");
        Assert.Equal(64, exact.GetProperty("n_top_k").GetInt32());
        Assert.True(exact.GetProperty("search_ns_per_token").GetInt64() > 0);
        Assert.Equal(64, exact.GetProperty("projection_sha256").GetString()!.Length);
        Assert.Equal(rows.Length, File.ReadAllLines(folder["r.jsonl"]).Length);
    }

    [Fact]
    public async Task A_prefilled_cache_and_the_table_for_people()
    {
        (int code, string output, string error) = await CommandLine.RunAsync(
            [.. Tiny, "-p", "0", "-n", "2", "-d", "100", "--fill", "prefill", "--no-warmup", "--modes", "exact"], Token);
        Assert.True(code == ExitCode.Ok, error);
        Assert.Contains("| exact | tg2 @ d100 |", output);
    }

    [Fact]
    public async Task A_row_of_the_index_tells_recall_beside_speed()
    {
        (int code, string output, string error) = await CommandLine.RunAsync(
            [
                .. Tiny, "-p", "0", "-n", "2", "-d", "3000", "--modes", "exact,hnsw", "--top-k", "40", "--ef-search", "48",
                "--index-links", "8", "-o", "json",
            ],
            Token);
        Assert.True(code == ExitCode.Ok, error);
        using JsonDocument json = JsonDocument.Parse(output);
        JsonElement[] rows = [.. json.RootElement.EnumerateArray()];
        Assert.Equal(1, rows[0].GetProperty("recall_index").GetDouble());
        Assert.Equal(JsonValueKind.Null, rows[0].GetProperty("ef").ValueKind);
        JsonElement index = rows[1];
        Assert.Equal(("hnsw", 40, 48, 8), (index.GetProperty("search").GetString(), index.GetProperty("n_top_k").GetInt32(),
            index.GetProperty("ef").GetInt32(), index.GetProperty("index_m").GetInt32()));
        Assert.InRange(index.GetProperty("recall_index").GetDouble(), 0.1, 1);
        Assert.Equal(2 * 12, index.GetProperty("n_recall_index").GetInt64());
        Assert.InRange(index.GetProperty("n_indexed").GetInt64(), 12 * 3000, 12 * 3002);
        Assert.True(index.GetProperty("index_compared").GetDouble() > index.GetProperty("index_visited").GetDouble());
        Assert.True(index.GetProperty("index_insert_ns").GetInt64() > 0 && index.GetProperty("index_search_ns").GetInt64() > 0);
    }

    [Fact]
    public async Task The_unpatched_library_runs_beside()
    {
        string program = Path.Combine(ModelFixture.Root, "build", "stock", "bin", "stock-bench");
        Assert.SkipUnless(File.Exists(program), "the unpatched library is not built");
        (int code, string output, string error) = await CommandLine.RunAsync(
            [.. Tiny, "-p", "16", "-n", "2", "-d", "64", "--stock", "--modes", "exact", "-o", "jsonl"], Token);
        Assert.True(code == ExitCode.Ok, error);
        BenchRow[] rows = [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(BenchLine.Parse)];
        Assert.Equal(4 * 2, rows.Length);
        Assert.All(rows, row => Assert.Equal(4, row.NAlternated));
        Assert.All(rows, row => Assert.True(row.RatioToStock > 0));
        Assert.Equal(
            ["exact", "stock fa0 f16", "stock fa1 f16", "stock fa1 q8_0"], rows.Select(row => row.Mode).Distinct());
        Assert.All(rows.Where(row => row.Search == "stock"), row => Assert.True(row.KBytes > 0 && row.PeakRssBytes > 0));
        Assert.Equal(rows[0].KBytes, rows.First(row => row.Mode == "stock fa1 f16").KBytes);
    }

    [Fact]
    public async Task A_cancelled_bench_ends_with_130()
    {
        using var source = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        (int code, _, string error) = await CommandLine.RunAsync(
            ["bench", "-m", ModelFixture.ModelPath, "-p", "4000", "-n", "0", "-r", "1000"], source.Token);
        Assert.Equal(ExitCode.Cancelled, code);
        Assert.Contains("Cancelled.", error);
    }

    [Theory]
    [InlineData("bench -r 0", "--repetitions is '0'; it must be a whole number in 1..1000.")]
    [InlineData("bench -n x", "--n-gen is 'x'; it must be whole numbers of at least 0, separated by commas.")]
    [InlineData("bench --modes fast", "--modes has 'fast'; each must be dense, exact, hnsw or auto.")]
    [InlineData("bench --fill zeros", "--fill is 'zeros'; it must be random or prefill.")]
    [InlineData("bench -o xml", "--output is 'xml'; it must be md, csv, json or jsonl.")]
    [InlineData("bench -p 0 -n 0", "nothing is left to time")]
    public async Task A_wrong_argument_is_told(string line, string message)
    {
        (int code, string output, string error) = await CommandLine.RunAsync(line.Split(' '), Token);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains(message, error);
        Assert.Empty(output);
    }
}
