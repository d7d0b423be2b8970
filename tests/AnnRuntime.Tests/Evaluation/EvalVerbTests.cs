using System.Xml;
using AnnRuntime.Cli;
using AnnRuntime.Evaluation;
using AnnRuntime.Tests.Cli;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>The verbs of <c>eval</c> through the program's entry point, and the page of their results.</summary>
public sealed class EvalVerbTests
{
    private static readonly string[] Small = ["--length", "192", "--windows", "1", "--chunk", "64", "--threads", "2"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Verbs_fill_a_folder_and_the_report_shows_all_of_them()
    {
        using var folder = new ScratchFolder();
        string directory = folder["run"];
        (string Verb, string[] Options)[] verbs =
        [
            ("ppl", ["--variants", "dense,exact:64"]),
            ("sweep", ["--top-k", "48,192", "--selectors", "exact,recent"]),
            ("layers", ["--top-k", "48"]),
            ("coverage", ["--top-k", "48", "--step", "6", "--orders", "evenly,worst-first"]),
            ("paired", ["--variants", "dense,exact:48,random:48"]),
            ("kld", ["--variants", "exact:48"]),
            ("dynamic", ["--top-k", "64", "--recent", "40", "--prefill", "64"]),
        ];
        foreach ((string verb, string[] options) in verbs)
        {
            (int code, string output, string error) = await CommandLine.RunAsync(
                ["eval", verb, "-m", ModelFixture.ModelPath, .. Small, .. options, "--out", directory], Token);
            Assert.True(code == ExitCode.Ok, error);
            Assert.Contains("1 windows of 192 tokens", output);
            Assert.Equal(verb, EvaluationDocument.Read(Path.Combine(directory, $"{verb}.json")).Verb);
        }

        (int tasks, string text, string reason) = await CommandLine.RunAsync(
            ["eval", "tasks", "-m", ModelFixture.ModelPath, "--tasks", "password,niah_single_1", "--lengths", "512", "--samples", "1",
                "--threads", "2", "--out", directory, "--json"], Token);
        Assert.True(tasks == ExitCode.Ok, reason);
        Assert.Contains("\"task\": \"password\"", text);

        (int report, string files, _) = await CommandLine.RunAsync(["eval", "report", directory], Token);
        Assert.Equal(ExitCode.Ok, report);
        Assert.Equal(3, files.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        string html = File.ReadAllText(Path.Combine(directory, "report.html"));
        foreach (string verb in (string[])[.. verbs.Select(pair => pair.Verb), "tasks"])
        {
            Assert.Contains($"id=\"{verb}\"", html);
        }

        Assert.DoesNotContain("src=", html);
        int pictures = 0;
        for (int at = html.IndexOf("<svg", StringComparison.Ordinal); at >= 0; at = html.IndexOf("<svg", at + 1, StringComparison.Ordinal))
        {
            new XmlDocument().LoadXml(html[at..(html.IndexOf("</svg>", at, StringComparison.Ordinal) + 6)]);
            pictures++;
        }

        Assert.InRange(pictures, 10, 20);
        Assert.DoesNotContain("NaN", html);
    }

    [Fact]
    public async Task The_same_command_takes_finished_windows_from_the_folder()
    {
        using var folder = new ScratchFolder();
        string[] line = ["eval", "ppl", "-m", ModelFixture.ModelPath, .. Small, "--out", folder["run"], "--json"];
        (int code, string first, string error) = await CommandLine.RunAsync(line, Token);
        Assert.True(code == ExitCode.Ok, error);
        long bytes = new FileInfo(folder["run/windows.jsonl"]).Length;
        (_, string second, _) = await CommandLine.RunAsync(line, Token);
        Assert.Equal(first, second); // the times too: nothing was computed
        Assert.Equal(bytes, new FileInfo(folder["run/windows.jsonl"]).Length);
    }

    [Theory]
    [InlineData("no window of 100000 tokens", "one window alone has", "ppl", "--length", "1000000")]
    [InlineData("K above the window", "K = 500, more than the 192 tokens", "ppl", "--variants", "exact:500")]
    [InlineData("no such selector", "The variant is 'best:3'", "ppl", "--variants", "best:3")]
    [InlineData("one variant", "paired needs at least two", "paired", "--variants", "dense")]
    [InlineData("no such layer", "layer", "ppl", "--layers", "77")]
    [InlineData("no text", "does not exist", "ppl", "--text", "/nowhere.txt")]
    [InlineData("a recent window above K", "--recent is 500", "dynamic", "--recent", "500")]
    [InlineData("a prefill above the window", "--prefill leaves", "dynamic", "--prefill", "5000")]
    public async Task Wrong_input_gets_a_sentence(string what, string expected, string verb, params string[] options)
    {
        (int code, string output, string error) = await CommandLine.RunAsync(
            ["eval", verb, "-m", ModelFixture.ModelPath, .. options.Contains("--length") ? [] : Small, .. options], Token);
        Assert.True(code is ExitCode.Usage or ExitCode.Failed, what);
        Assert.Empty(output);
        Assert.Contains(expected, error);
        Assert.DoesNotContain("   at ", error);
    }

    [Fact]
    public async Task A_model_without_projections_has_a_dense_perplexity_and_no_other()
    {
        using var folder = new ScratchFolder();
        string stock = folder["plain.gguf"];
        (int split, _, string why) = await CommandLine.RunAsync(
            ["split", ModelFixture.ModelPath, "-o", folder["p.safetensors"], "--base", stock], Token);
        Assert.True(split == ExitCode.Ok, why);
        (int code, string output, string error) = await CommandLine.RunAsync(["eval", "ppl", "-m", stock, .. Small], Token);
        Assert.True(code == ExitCode.Ok, error);
        Assert.Contains("dense", output);
        (code, _, error) = await CommandLine.RunAsync(["eval", "ppl", "-m", stock, .. Small, "--variants", "exact:64"], Token);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("no search projections", error);
    }

    [Fact]
    public async Task A_report_of_nothing_is_refused()
    {
        using var folder = new ScratchFolder();
        (int code, _, string error) = await CommandLine.RunAsync(["eval", "report", folder["none"]], Token);
        Assert.Equal((ExitCode.Failed, true), (code, error.Contains("does not exist")));
        Directory.CreateDirectory(folder["empty"]);
        (code, _, error) = await CommandLine.RunAsync(["eval", "report", folder["empty"]], Token);
        Assert.Equal((ExitCode.Failed, true), (code, error.Contains("no evaluation")));
    }
}
