using System.Text.Json;
using AnnRuntime.Cli;
using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>The verbs merge, split and synth, from the command line to the exit code.</summary>
public sealed class FileVerbsTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_model_goes_through_synth_split_and_merge()
    {
        (int synth, string text, _) = await Run(
            "synth", "--shape", "tiny", "--quant", "q4_0", "--ann-layers", "reserve:1", "--d-search", "64",
            "--window", "8", "--sinks", "2", "--rope-dims", "32", "--seed", "5", "-o", _folder["a.gguf"]);
        (int split, string json, _) = await Run(
            "split", _folder["a.gguf"], "-o", _folder["p.safetensors"], "--base", _folder["b.gguf"], "--json");
        (int merge, _, string complaint) = await Run(
            "merge", _folder["b.gguf"], _folder["p.safetensors"], "-o", _folder["c.gguf"]);

        Assert.Equal((ExitCode.Ok, ExitCode.Ok, ExitCode.Ok), (synth, split, merge));
        Assert.Equal("", complaint);
        Assert.Contains("searched layers 1,2,3 of 4, d_search 64", text);
        Assert.Contains("top-k 128, metric cosine, rotation 32 dims, base 10000, window 8, sinks 2", text);
        using JsonDocument report = JsonDocument.Parse(json);
        Assert.Equal(64, report.RootElement.GetProperty("search_length").GetInt32());
        Assert.Equal(8, report.RootElement.GetProperty("settings").GetProperty("window").GetInt32());
        Assert.Equal(File.ReadAllBytes(_folder["a.gguf"]), File.ReadAllBytes(_folder["c.gguf"]));
    }

    [Fact]
    public async Task Options_reach_the_file()
    {
        ModelMergerTests.Model(_folder, "b.gguf");
        ModelMergerTests.Projections(_folder, "p.safetensors", [0, 1, 2, 3], 32, 256);

        (int code, _, string complaint) = await Run(
            "merge", _folder["b.gguf"], _folder["p.safetensors"], "-o", _folder["c.gguf"], "--layers", "1-2",
            "--top-k", "64", "--metric", "ip", "--rope-dims", "16", "--rope-freq-base", "500.5",
            "--window", "3", "--sinks", "1", "--checkpoint", "where", "--config", "how");

        Assert.Equal((ExitCode.Ok, ""), (code, complaint));
        using GgufFile file = GgufFile.Open(_folder["c.gguf"]);
        Assert.Equal([1L, 2L], file.Metadata.GetIntegers("ann_sparse.layers")!);
        Assert.Equal(
            new AnnSettings
            {
                TopK = 64, Metric = "ip", RopeDimensions = 16, RopeFrequencyBase = 500.5f, Window = 3, Sinks = 1,
                Checkpoint = "where", Config = "how",
            },
            AnnSettings.FromGguf(file.Metadata, "qwen3"));
    }

    [Fact]
    public async Task Refusals_have_their_exit_codes()
    {
        ModelMergerTests.Model(_folder, "b.gguf");
        ModelMergerTests.Projections(_folder, "p.safetensors", [0], 32, 384);
        File.WriteAllText(_folder["old.gguf"], "old");

        string output = $"-o {_folder["x.gguf"]}";
        string model = _folder["b.gguf"];
        string projections = _folder["p.safetensors"];

        await Refused(ExitCode.Usage, "There is no shape 'gpt5'", $"synth --shape gpt5 {output}");
        await Refused(ExitCode.Usage, "--quant is 'q3_k'", $"synth --shape tiny --quant q3_k {output}");
        await Refused(ExitCode.Usage, "--output", "synth --shape tiny");
        await Refused(ExitCode.Failed, "(--force)", $"synth --shape tiny -o {_folder["old.gguf"]}");
        await Refused(ExitCode.CannotLoad, "expected [d_search, 256]", $"merge {model} {projections} {output}");
        await Refused(ExitCode.CannotLoad, "there is no such file", $"merge {model}x {projections} {output}");
        await Refused(ExitCode.CannotLoad, "holds no search projections", $"split {model} {output}");
        Assert.Equal(["b.gguf", "old.gguf", "p.safetensors"], _folder.Names);
    }

    private static async Task Refused(int code, string sentence, string line)
    {
        (int found, string output, string complaint) = await Run(line.Split(' '));
        Assert.Equal((code, ""), (found, output));
        Assert.Contains(sentence, complaint);
    }

    private static async Task<(int Code, string Output, string Error)> Run(params string[] args)
    {
        using StringWriter output = new();
        using StringWriter error = new();
        int code = await Program.RunAsync(args, output, error, TestContext.Current.CancellationToken);
        return (code, output.ToString(), error.ToString());
    }
}
