using System.Text.Json;
using AnnRuntime.Cli;
using Xunit;

namespace AnnRuntime.Tests.Cli;

/// <summary>The verbs through the program's entry point: exit codes, text and JSON.</summary>
public sealed class EndToEndTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Generate_streams_text_to_stdout_and_timings_to_stderr()
    {
        string[] line = ["generate", "-m", ModelFixture.ModelPath, "-p", "The memory of a computer", "-n", "8", "--temp", "0"];
        (int code, string output, string error) = await CommandLine.RunAsync(line, Token);
        Assert.Equal(ExitCode.Ok, code);
        Assert.NotEmpty(output.Trim());
        Assert.Contains("tokens/s", error);
        Assert.Contains("exact search, K 128 (sinks 4, window 32) in 12 layers", error);
        (_, string again, _) = await CommandLine.RunAsync(line, Token);
        Assert.Equal(output, again);
    }

    [Fact]
    public async Task Generate_writes_one_json_document()
    {
        (int code, string output, _) = await CommandLine.RunAsync(
            [
                "generate", "-m", ModelFixture.ModelPath, "-p", "The memory of a computer", "-n", "8", "--seed", "3",
                "--ann", "exact", "--top-k", "64", "--sinks", "2", "--window", "16", "--layers", "2,4", "--ann-prefill", "dense",
                "--ctx", "512", "--type-k", "q8_0", "--type-s", "f32", "--threads", "2", "--json", "--stats", "mass",
                "--kv-memory", "host", "--search-memory", "device",
            ],
            Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        JsonElement root = json.RootElement;
        Assert.Equal(8, root.GetProperty("tokens").GetArrayLength());
        Assert.Equal("MaxTokens", root.GetProperty("finish_reason").GetString());
        Assert.Equal(64, root.GetProperty("search").GetProperty("top_k").GetInt32());
        Assert.Equal("dense", root.GetProperty("search").GetProperty("prefill").GetString());
        Assert.Equal(2, root.GetProperty("search").GetProperty("layers").GetArrayLength());
        Assert.Equal(512, root.GetProperty("memory").GetProperty("cells").GetInt32());
        Assert.Equal(12, root.GetProperty("retrieval").GetProperty("layers").GetArrayLength());
        Assert.True(root.GetProperty("timings").GetProperty("prompt_tokens_per_second").GetDouble() > 0);
    }

    [Fact]
    public async Task Search_off_keeps_no_search_keys()
    {
        (int code, string output, _) = await CommandLine.RunAsync(
            ["generate", "-m", ModelFixture.ModelPath, "-p", "The", "-n", "2", "--ann", "off", "--json"], Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        Assert.Equal("off", json.RootElement.GetProperty("search").GetProperty("mode").GetString());
        Assert.Equal(0, json.RootElement.GetProperty("memory").GetProperty("search_bytes").GetInt64());
    }

    [Fact]
    public async Task Inspect_shows_the_search_as_text_and_json()
    {
        (int code, string output, _) = await CommandLine.RunAsync(["inspect", ModelFixture.ModelPath], Token);
        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains("64 dims, cosine, 64 rotated by position", output);
        (code, output, _) = await CommandLine.RunAsync(["inspect", ModelFixture.ModelPath, "--json"], Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        Assert.Equal(64, json.RootElement.GetProperty("search").GetProperty("search_length").GetInt32());
        Assert.Equal(1_536_000, json.RootElement.GetProperty("cache_per1000_tokens").GetProperty("search_bytes").GetDouble());
    }

    [Fact]
    public async Task Doctor_checks_this_machine()
    {
        (int code, string output, _) = await CommandLine.RunAsync(["doctor", "--json"], Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        Assert.Equal(RuntimeInfo.RuntimeIdentifier, json.RootElement.GetProperty("runtime_identifier").GetString());
        Assert.True(File.Exists(json.RootElement.GetProperty("library_path").GetString()));
        Assert.Equal(64, json.RootElement.GetProperty("index").GetProperty("dimensions").GetInt32());
        (code, output, _) = await CommandLine.RunAsync(["doctor"], Token);
        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains("check: compute devices", output);
        Assert.Contains("--ann auto", output);
        Assert.Matches(@"measured 20\d\d-\d\d-\d\d \d\d:\d\d UTC, now; kept in no file", output);
    }

    [Fact]
    public async Task Tokenize_shows_numbers_and_characters()
    {
        (int code, string output, _) = await CommandLine.RunAsync(
            ["tokenize", "-m", ModelFixture.ModelPath, "-p", "<|im_start|>user", "--json"], Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        Assert.Equal(8190, json.RootElement.GetProperty("tokens")[0].GetProperty("id").GetInt32());
        Assert.Equal("<|im_start|>", json.RootElement.GetProperty("tokens")[0].GetProperty("text").GetString());
    }

    [Fact]
    public async Task Recall_reports_every_answer()
    {
        (int code, string output, _) = await CommandLine.RunAsync(
            [
                "recall", "-m", ModelFixture.ModelPath, "--lengths", "192,256", "--needles", "early,late", "--prompts", "2",
                "--modes", "off,exact", "--top-k", "64", "--mass", "--json",
            ],
            Token);
        Assert.Equal(ExitCode.Ok, code);
        using JsonDocument json = JsonDocument.Parse(output);
        JsonElement rows = json.RootElement.GetProperty("rows");
        Assert.Equal(2 * 2 * 2 * 2, rows.GetArrayLength());
        Assert.Equal(2 * 2, json.RootElement.GetProperty("summary").GetArrayLength());
        Assert.Equal("off", rows[0].GetProperty("variant").GetString());
        Assert.Equal(JsonValueKind.Null, rows[0].GetProperty("mass").ValueKind);
        Assert.InRange(rows[rows.GetArrayLength() - 1].GetProperty("mass").GetDouble(), 0.1, 1.01);
        foreach (JsonElement row in rows.EnumerateArray())
        {
            Assert.Equal(
                row.GetProperty("expected").GetString() == row.GetProperty("answer").GetString(),
                row.GetProperty("pass").GetBoolean());
        }
    }

    [Fact]
    public async Task Recall_fails_below_the_least_share_asked_for()
    {
        // a window and one searched cell cannot hold a password
        (int code, string output, string error) = await CommandLine.RunAsync(
            [
                "recall", "-m", ModelFixture.ModelPath, "--lengths", "512", "--needles", "early", "--modes", "exact",
                "--top-k", "8", "--sinks", "0", "--window", "7", "--min-pass", "100",
            ],
            Token);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("WRONG", output);
        Assert.Contains("--min-pass is 100 %", error);
    }

    [Fact]
    public async Task Demo_shows_all_three_variants_and_says_who_is_right()
    {
        (int code, string output, _) = await CommandLine.RunAsync(
            ["demo", "-m", ModelFixture.ModelPath, "--length", "512"], Token);
        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains("Full attention:", output);
        Assert.Contains("Search, exact K=128:", output);
        Assert.Contains("Search, exact K=256:", output);
        Assert.Contains("early", output);
        Assert.Contains("late", output);
    }

    [Fact]
    public async Task What_cannot_be_loaded_ends_with_three()
    {
        (int code, string output, string error) =
            await CommandLine.RunAsync(["generate", "-m", "/no/such.gguf", "-p", "x"], Token);
        Assert.Equal(ExitCode.CannotLoad, code);
        Assert.Equal("The model file '/no/such.gguf' does not exist.", error.Trim());
        Assert.Empty(output);

        using var garbage = new TemporaryFile("no model at all"u8.ToArray());
        (code, _, error) = await CommandLine.RunAsync(["inspect", garbage.Path], Token);
        Assert.Equal(ExitCode.CannotLoad, code);
        Assert.NotEmpty(error);

        (code, _, error) = await CommandLine.RunAsync(
            ["generate", "-m", ModelFixture.ModelPath, "-p", "x", "--ctx", "2000000000"], Token);
        Assert.Equal(ExitCode.CannotLoad, code);
        Assert.NotEmpty(error);
    }

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_a_wrong_argument()
    {
        using var file = new TemporaryFile(System.Text.Encoding.UTF8.GetBytes(new string('x', 5000) + " y"), ".txt");
        (int code, _, string error) = await CommandLine.RunAsync(
            ["generate", "-m", ModelFixture.ModelPath, "-f", file.Path, "--ctx", "256"], Token);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("Nothing was computed", error);
    }

    [Fact]
    public async Task A_missing_prompt_file_fails_with_its_name()
    {
        (int code, _, string error) = await CommandLine.RunAsync(["generate", "-f", "/no/such.txt"], Token);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("/no/such.txt", error);
    }

    [Fact]
    public async Task A_cancelled_verb_ends_with_130()
    {
        using var source = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        (int code, _, string error) = await CommandLine.RunAsync(
            ["generate", "-m", ModelFixture.ModelPath, "-p", "The", "-n", "16000", "--ignore-eos"], source.Token);
        Assert.Equal(ExitCode.Cancelled, code);
        Assert.Contains("Cancelled.", error);
    }
}
