using System.Text.Json;
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
        (string Name, string[] Options)[] named =
        [
            ("generated", ["--variants", "exact:48,hnsw:48", "--decode", "16", "--mass"]),
            ("packed", ["--variants", "dense,exact:48", "--documents", "Example"]),
        ];
        foreach ((string verb, string[] options) in verbs)
        {
            (int code, string output, string error) = await CommandLine.RunAsync(
                ["eval", verb, "-m", ModelFixture.ModelPath, .. Small, .. options, "--out", directory], Token);
            Assert.True(code == ExitCode.Ok, error);
            Assert.Contains("1 windows of 192 tokens", output);
            Assert.Equal(verb, EvaluationDocument.Read(Path.Combine(directory, $"{verb}.json")).Verb);
        }

        string text = folder["documents.txt"];
        string[] paragraphs = [.. FillerText.Default.Take(0, 400).Select(words => string.Join(' ', words))];
        File.WriteAllText(text, string.Join("\nExample\n", paragraphs));
        foreach ((string name, string[] options) in named)
        {
            string[] where = name == "packed" ? ["--text", text, "--out", folder["packed"]] : ["--out", directory, "--name", name];
            (int code, string output, string error) = await CommandLine.RunAsync(
                ["eval", "ppl", "-m", ModelFixture.ModelPath, .. Small, .. options, .. where], Token);
            Assert.True(code == ExitCode.Ok, error);
            Assert.Contains(name == "packed" ? "segments that do not see each other" : "the last 16 of each one by one", output);
        }

        (int scaling, string counted, string complaint) = await CommandLine.RunAsync(
            ["eval", "scaling", "-m", ModelFixture.ModelPath, "--cells", "512", "--queries", "2", "--threads", "2", "--out", directory], Token);
        Assert.True(scaling == ExitCode.Ok, complaint);
        Assert.Contains("4096K", counted);

        (int tasks, string answers, string reason) = await CommandLine.RunAsync(
            ["eval", "tasks", "-m", ModelFixture.ModelPath, "--tasks", "password,niah_single_1", "--lengths", "512", "--samples", "1",
                "--threads", "2", "--out", directory, "--json"], Token);
        Assert.True(tasks == ExitCode.Ok, reason);
        Assert.Contains("\"task\": \"password\"", answers);

        (int report, string files, _) = await CommandLine.RunAsync(["eval", "report", directory], Token);
        Assert.Equal(ExitCode.Ok, report);
        Assert.Equal(3, files.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        string html = File.ReadAllText(Path.Combine(directory, "report.html"));
        foreach (string name in (string[])[.. verbs.Select(pair => pair.Verb), "generated", "scaling", "tasks"])
        {
            Assert.Contains($"id=\"{name}\"", html);
        }

        Assert.DoesNotContain("src=", html);
        int pictures = 0;
        for (int at = html.IndexOf("<svg", StringComparison.Ordinal); at >= 0; at = html.IndexOf("<svg", at + 1, StringComparison.Ordinal))
        {
            new XmlDocument().LoadXml(html[at..(html.IndexOf("</svg>", at, StringComparison.Ordinal) + 6)]);
            pictures++;
        }

        Assert.InRange(pictures, 12, 24);
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
    [InlineData("no such line", "has no line 'nowhere' between documents", "ppl", "--documents", "nowhere")]
    [InlineData("an index for chunks", "would never use its index", "ppl", "--variants", "hnsw:64")]
    [InlineData("an index for chunks", "would never use its index", "sweep", "--selectors", "hnsw", "--top-k", "64")]
    [InlineData("no prompt", "it must be 0, or 2 to 190", "ppl", "--decode", "192")]
    [InlineData("no target", "it must be 0, or 2 to 190", "ppl", "--decode", "1")]
    [InlineData("no other model", "nowhere.gguf", "paired", "--against", "nowhere.gguf")]
    [InlineData("a window of one token", "--length is '1'", "ppl", "--length", "1")]
    [InlineData("K of nothing", "--top-k is '0'", "layers", "--top-k", "0")]
    [InlineData("a recent window above K", "--recent is 500", "dynamic", "--recent", "500")]
    [InlineData("a prefill above the window", "--prefill leaves", "dynamic", "--prefill", "5000")]
    public async Task Wrong_input_gets_a_sentence(string what, string expected, string verb, params string[] options)
    {
        (int code, string output, string error) = await CommandLine.RunAsync(
            ["eval", verb, "-m", ModelFixture.ModelPath, .. options.Contains("--length") ? [] : Small, .. options], Token);
        Assert.True(code is ExitCode.Usage or ExitCode.Failed or ExitCode.CannotLoad, what);
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
        foreach (string[] line in (string[][])[["layers"], ["coverage"], ["dynamic"], ["kld"], ["sweep", "--top-k", "64"]])
        {
            (code, _, error) = await CommandLine.RunAsync(["eval", line[0], "-m", stock, .. Small, .. line[1..]], Token);
            Assert.True(code == ExitCode.Usage, line[0]);
            Assert.Contains("no search projections", error);
        }

        (code, _, error) = await CommandLine.RunAsync(["eval", "scaling", "-m", stock, "--cells", "512"], Token);
        Assert.True(code == ExitCode.Usage && error.Contains("no search projections"), error);
        (code, _, error) = await CommandLine.RunAsync(
            ["eval", "tasks", "-m", stock, "--tasks", "password", "--lengths", "256", "--samples", "1", "--variants", "exact"], Token);
        Assert.True(code == ExitCode.Usage && error.Contains("no search projections"), error);

        // and may be compared with the model that has them
        (code, output, error) = await CommandLine.RunAsync(
            ["eval", "paired", "-m", ModelFixture.ModelPath, "--against", stock, "--variants", "dense", .. Small], Token);
        Assert.True(code == ExitCode.Ok, error);
        Assert.Contains("no difference shown", output);
    }

    [Fact]
    public async Task Interrupted_tasks_go_on_with_the_answers_that_are_missing()
    {
        using var folder = new ScratchFolder();
        string[] line =
        [
            "eval", "tasks", "-m", ModelFixture.ModelPath, "--tasks", "password", "--lengths", "256", "--samples", "2", "--threads", "2", "--json",
        ];
        (int code, string whole, string error) = await CommandLine.RunAsync([.. line, "--variants", "dense,exact:48"], Token);
        Assert.True(code == ExitCode.Ok, error);
        (code, _, error) = await CommandLine.RunAsync([.. line, "--variants", "dense", "--out", folder["run"]], Token);
        Assert.True(code == ExitCode.Ok, error);
        string path = folder["run/answers.jsonl"];
        string[] kept = File.ReadAllLines(path);
        Assert.Equal(1 + 2, kept.Length);
        File.AppendAllText(path, "{\"key\":\"cut off by a crash");
        (code, string resumed, error) = await CommandLine.RunAsync([.. line, "--variants", "dense,exact:48", "--out", folder["run"]], Token);
        Assert.True(code == ExitCode.Ok, error);
        Assert.Equal(kept, File.ReadAllLines(path)[..3]); // asked once
        Assert.Equal(1 + 4, File.ReadAllLines(path).Length);
        Assert.Equal(Scores(whole), Scores(resumed));

        (code, _, error) = await CommandLine.RunAsync(
            ["split", ModelFixture.ModelPath, "-o", folder["p.safetensors"], "--base", folder["plain.gguf"]], Token);
        Assert.True(code == ExitCode.Ok, error);
        (code, _, error) = await CommandLine.RunAsync(
            ["eval", "tasks", "-m", folder["plain.gguf"], "--tasks", "password", "--lengths", "256", "--variants", "dense", "--out", folder["run"]], Token);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("answers of another model", error);
    }

    private static string[] Scores(string json) =>
        [.. JsonDocument.Parse(json).RootElement.GetProperty("tasks").EnumerateArray().Select(score => score.GetRawText())];

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
