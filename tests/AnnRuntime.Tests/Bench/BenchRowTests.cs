using System.Text.Json;
using System.Text.RegularExpressions;
using AnnRuntime.Cli;
using Xunit;

namespace AnnRuntime.Tests.Bench;

/// <summary>Columns, formats and statistics of benchmark rows.</summary>
public sealed partial class BenchRowTests
{
    // llama-bench's of v0.5.0
    private static readonly string[] LlamaBench =
    [
        "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
        "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v",
        "n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "devices", "tensor_split",
        "tensor_buft_overrides", "load_mode", "lazy_mode", "embeddings", "no_op_offload", "no_host", "fit_target",
        "fit_min_ctx", "n_prompt", "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
    ];

    [Fact]
    public void Columns_begin_with_those_of_llama_bench()
    {
        Assert.Equal(LlamaBench, BenchLine.Columns.Take(LlamaBench.Length));
        Assert.Equal(["samples_ns", "samples_ts"], BenchLine.Columns.Skip(LlamaBench.Length).Take(2));
        Assert.All(
            (string[])["llama_cpp", "driver", "projection_sha256", "search", "n_top_k", "n_sink", "n_window", "n_reserved", "command"],
            name => Assert.Contains(name, BenchLine.Columns));
    }

    [Fact]
    public void The_list_is_the_one_of_the_pinned_llama_bench()
    {
        string source = Path.Combine(ModelFixture.Root, "build", "llama.cpp-stock", "tools", "llama-bench", "llama-bench.cpp");
        Assert.SkipUnless(File.Exists(source), "the unpatched llama.cpp is not fetched");
        string list = Fields().Match(File.ReadAllText(source)).Groups[1].Value;
        Assert.Equal(LlamaBench, Quoted().Matches(list).Select(match => match.Groups[1].Value));
    }

    [Fact]
    public void Statistics_are_those_of_llama_bench()
    {
        double[] values = [2, 4, 4, 4, 5, 5, 7, 9];
        Assert.Equal(5, BenchSamples.Average(values));
        Assert.Equal(Math.Sqrt(32.0 / 7), BenchSamples.Deviation(values), 12);
        Assert.Equal(4.5, BenchSamples.Median(values));
        Assert.Equal(7, BenchSamples.Median([9, 7, 1]));
        Assert.Equal(0, BenchSamples.Deviation([3]));
        Assert.Equal([64, 32], BenchSamples.TokensPerSecond([500_000_000, 1_000_000_000], 32));
    }

    [Fact]
    public void Json_comes_back_as_it_was()
    {
        BenchRow row = Sample.Row("exact K=128", "exact", 32, 4096, 5_000_000) with { Command = "./ann bench -m 'ä \"b\".gguf'" };
        string line = BenchLine.Write(row);
        Assert.DoesNotContain('\n', line);
        Assert.Equal(line, BenchLine.Write(BenchLine.Parse(line)));
        Assert.Equal(row.SamplesNs, BenchLine.Parse(line).SamplesNs);
        Assert.Equal(row.Command, BenchLine.Parse(line).Command);
    }

    [Fact]
    public void Csv_has_the_values_of_json()
    {
        BenchRow row = Sample.Row("dense", "dense", 32, 4096, 5_000_000) with { ModelFilename = "a, \"b\".gguf" };
        using var writer = new StringWriter();
        BenchOutput.Write(writer, [row], "csv");
        string[] lines = writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.Equal(2, lines.Length);
        Assert.Equal(BenchLine.Columns, lines[0].Split(','));
        string[] cells = [.. CsvCell().Matches(lines[1]).Select(match => match.Groups[1].Value.Replace("\"\"", "\""))];
        using JsonDocument json = JsonDocument.Parse(BenchLine.Write(row));
        Assert.Equal(BenchLine.Columns.Count, cells.Length);
        foreach ((string cell, JsonProperty property) in cells.Zip(json.RootElement.EnumerateObject()))
        {
            string expected = property.Value.ValueKind switch
            {
                JsonValueKind.True => "1",
                JsonValueKind.False => "0",
                _ => property.Value.ToString(),
            };
            Assert.Equal(expected, cell);
        }
    }

    [Fact]
    public void Ratios_are_against_the_fastest_peer_of_the_same_test()
    {
        IReadOnlyList<BenchRow> rows = BenchRunner.WithRatios(
        [
            Sample.Row("exact", "exact", 32, 0, 10), Sample.Row("exact", "exact", 32, 4096, 20),
            Sample.Row("stock a", "stock", 32, 0, 30), Sample.Row("stock b", "stock", 32, 0, 15),
        ]);
        Assert.Equal([1.5, null, 0.5, 1.0], rows.Select(row => row.RatioToStock));
    }

    [Fact]
    public void Tests_have_llama_benchs_names()
    {
        Assert.Equal(
            ["pp512", "tg32", "pp512 @ d4096", "tg32 @ d4096"],
            BenchPlan.CreateTests([0, 512], [32], [4096, 0]).Select(test => test.Name));
    }

    [Fact]
    public void Variants_that_do_not_fit_together_run_in_groups()
    {
        static BenchVariant Of(string name, long bytes) =>
            new(new BenchRow { Mode = name }, _ => bytes, (_, _) => throw new InvalidOperationException());
        BenchVariant[] variants = [Of("a", 5), Of("b", 5), Of("c", 12), Of("d", 1)];
        Assert.Equal(
            ["ab", "c", "d"],
            BenchPlan.Groups(variants, 1, 10).Select(group => string.Concat(group.Select(variant => variant.Name))));
    }

    [GeneratedRegex(@"get_fields\(\) \{\s*static const std::vector<std::string> fields = \{(.*?)\};", RegexOptions.Singleline)]
    private static partial Regex Fields();

    [GeneratedRegex("\"(\\w+)\"")]
    private static partial Regex Quoted();

    [GeneratedRegex("\"((?:[^\"]|\"\")*)\"(?:,|$)")]
    private static partial Regex CsvCell();
}
