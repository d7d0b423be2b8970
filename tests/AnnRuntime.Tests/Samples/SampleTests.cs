using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests.Samples;

/// <summary>Each sample, run as a user runs it.</summary>
public sealed partial class SampleTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_console_answers_line_by_line_and_remembers()
    {
        (int code, string output) = await TalkAsync("Console", [ModelFixture.ModelPath], "Hello.\nWhat is a cache?\n\n");
        Assert.Equal(0, code);
        Match[] usage = Usage().Matches(output).ToArray();
        Assert.Equal(2, usage.Length);
        Assert.Equal("0", usage[0].Groups[2].Value);
        Assert.True(int.Parse(usage[1].Groups[2].Value, null) >= int.Parse(usage[0].Groups[1].Value, null) - 1, output);
    }

    [Fact]
    public async Task A_document_is_computed_once_and_read_the_second_time()
    {
        using var document = new TemporaryFile(extension: ".txt");
        string text = string.Join("\n\n", FillerText.Default.Take(0, 400).Select(words => string.Join(' ', words)));
        await File.WriteAllTextAsync(document.Path, text, Token);
        try
        {
            (int code, string first) = await TalkAsync("Documents", [ModelFixture.ModelPath, document.Path], "What is it about?\nAnd why?\n\n");
            Assert.Equal(0, code);
            Assert.Matches(@"Computed \d+ tokens in", first);
            Assert.Equal(2, FirstToken().Count(first));

            (code, string second) = await TalkAsync("Documents", [ModelFixture.ModelPath, document.Path], "What is it about?\n\n");
            Assert.Equal(0, code);
            Assert.Matches(@"Read \d+ tokens from", second);
            Assert.DoesNotContain("Computed", second, StringComparison.Ordinal);
            Assert.Equal(Answer(first), Answer(second));

            (code, string usage) = await TalkAsync("Documents", [], "");
            Assert.Equal(2, code);
            Assert.Contains("Usage", usage, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(document.Path + ".kv");
        }
    }

    [Fact]
    public async Task The_web_application_serves_the_api_and_the_page()
    {
        using Process web = Start("Web", ["--AnnRuntime:main:ModelPath", ModelFixture.ModelPath, "--urls", "http://127.0.0.1:0"]);
        try
        {
            string? address = null;
            while (address is null && await web.StandardOutput.ReadLineAsync(Token).AsTask().WaitAsync(Patience, Token) is { } line)
            {
                address = Listening().Match(line) is { Success: true } match ? match.Value : null;
            }

            Assert.NotNull(address);
            using var client = new HttpClient { BaseAddress = new Uri(address) };
            Assert.Contains("AnnRuntime", await client.GetStringAsync("/", Token), StringComparison.Ordinal);
            using HttpResponseMessage response = await client.PostAsJsonAsync(
                "/v1/completions", new { prompt = "The memory of a computer", max_tokens = 4 }, Token);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            JsonElement answer = await response.Content.ReadFromJsonAsync<JsonElement>(Token);
            Assert.Equal(4, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        }
        finally
        {
            web.Kill(entireProcessTree: true);
            await web.WaitForExitAsync(CancellationToken.None);
        }
    }

    private static async Task<(int Code, string Output)> TalkAsync(string sample, string[] arguments, string input)
    {
        using Process process = Start(sample, arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync(Token);
        Task<string> error = process.StandardError.ReadToEndAsync(Token);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        try
        {
            await process.WaitForExitAsync(Token).WaitAsync(Patience, Token);
        }
        catch (TimeoutException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        return (process.ExitCode, await output + await error);
    }

    private static Process Start(string sample, string[] arguments)
    {
        string name = $"AnnRuntime.Samples.{sample}";
        string program = Path.Combine(ModelFixture.Root, "build", "dotnet", "bin", name, "release", name + ".dll");
        return Process.Start(new ProcessStartInfo("dotnet", [program, .. arguments])
        {
            WorkingDirectory = Path.Combine(ModelFixture.Root, "samples", sample), // as `dotnet run` has it
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
    }

    private static string Answer(string output) => output[output.IndexOf('?', StringComparison.Ordinal)..].Split('\n')[0];

    [GeneratedRegex(@"\((\d+) tokens, (\d+) of them cached\)")]
    private static partial Regex Usage();

    [GeneratedRegex(@"\(first token after \d+ ms\)")]
    private static partial Regex FirstToken();

    [GeneratedRegex(@"http://127\.0\.0\.1:\d+")]
    private static partial Regex Listening();
}
