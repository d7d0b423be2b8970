using AnnRuntime.Cli;
using Xunit;

namespace AnnRuntime.Tests.Cli;

/// <summary>Wrong command lines are answered with a sentence and exit code 2 before anything is loaded.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("bogus", "'bogus' is no verb.")]
    [InlineData("generate -p x --top-k 0", "--top-k is '0'; it must be a whole number of at least 1.")]
    [InlineData("generate -p x --sinks -1", "--sinks is '-1'; it must be a whole number of at least 0.")]
    [InlineData("generate -p x -n many", "--tokens is 'many'; it must be a whole number of at least 1.")]
    [InlineData("generate -p x --ann best", "--ann is 'best'; it must be off, dense, exact, hnsw or auto.")]
    [InlineData("generate -p x --temp hot", "--temp is 'hot'; it must be a number of at least 0.")]
    [InlineData("generate -p x --layers 1,x", "--layers is '1,x'; it must be whole numbers of at least 0, separated by commas.")]
    [InlineData("generate -p x --type-s q4_0", "--type-s is 'q4_0'; it must be f16, f32 or q8_0.")]
    [InlineData("generate -p x --kv-memory gpu", "--kv-memory is 'gpu'; it must be device or host.")]
    [InlineData("generate -p x --search-memory gpu", "--search-memory is 'gpu'; it must be auto, device or host.")]
    [InlineData("generate -p x --unknown", "Unrecognized command or argument '--unknown'.")]
    [InlineData("recall --modes off,best", "--modes has 'best'; each must be off, dense, exact, hnsw or auto.")]
    [InlineData("recall --lengths 10", "--lengths is '10'; it must be whole numbers of at least 64, separated by commas.")]
    [InlineData("recall --min-pass 101", "--min-pass is '101'; it must be a whole number in 0..100.")]
    [InlineData("generate", "Give the prompt with either -p TEXT or -f FILE")]
    [InlineData("generate -p x -f y", "Give the prompt with either -p TEXT or -f FILE")]
    [InlineData("generate -p ", "The prompt is empty")]
    public async Task A_wrong_argument_is_told(string line, string message)
    {
        (int code, string output, string error) =
            await CommandLine.RunAsync(line.Split(' '), TestContext.Current.CancellationToken);

        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains(message, error);
        Assert.Empty(output);
    }

    [Fact]
    public async Task A_prompt_file_that_is_no_utf8_is_told()
    {
        using var file = new TemporaryFile([(byte)'a', 0xC3, 0x28], ".txt");

        (int code, _, string error) =
            await CommandLine.RunAsync(["generate", "-f", file.Path], TestContext.Current.CancellationToken);

        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("is no valid UTF-8 at byte 1", error);
    }

    [Fact]
    public async Task Every_verb_has_a_help_text()
    {
        (int code, string output, _) = await CommandLine.RunAsync(["--help"], TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Ok, code);
        foreach (string verb in (string[])["demo", "inspect", "generate", "chat", "recall", "tokenize", "doctor"])
        {
            Assert.Contains($"  {verb} ", output);
            (int verbCode, string help, string error) =
                await CommandLine.RunAsync([verb, "--help"], TestContext.Current.CancellationToken);
            Assert.Equal(ExitCode.Ok, verbCode);
            Assert.Contains("Description:", help);
            Assert.Empty(error);
        }
    }
}
