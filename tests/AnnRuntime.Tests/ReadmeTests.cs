using System.Reflection;
using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests;

/// <summary>The C# example of README.md is compiled, run, and the same to the letter.</summary>
public sealed partial class ReadmeTests
{
    [Fact]
    public async Task The_example_runs()
    {
        string before = Directory.GetCurrentDirectory();
        TextWriter console = Console.Out;
        using var output = new StringWriter();
        Directory.SetCurrentDirectory(ModelFixture.Root);
        Console.SetOut(output);
        try
        {
            await ExampleAsync();
        }
        finally
        {
            Console.SetOut(console);
            Directory.SetCurrentDirectory(before);
        }

        Assert.Contains("tokens/s", output.ToString());
    }

    [Fact]
    public void The_example_is_the_one_of_the_readme()
    {
        string[] examples = [.. CSharpBlock().Matches(Read("README.md")).Select(match => match.Groups[1].Value.Trim())];
        string[] source = Region().Match(Read("ReadmeTests.cs")).Groups[1].Value.Split('\n');
        string region = string.Join('\n', source.Select(line => line.Length > 8 ? line[8..] : "")).Trim();
        Assert.Equal([region], examples);
    }

    private static async Task ExampleAsync()
    {
        // <example>
        using AnnModel model = await AnnModel.LoadAsync("models/ann-rotated-d64-q8_0.gguf");
        using AnnContext context = model.CreateContext(new ContextOptions
        {
            ContextLength = 4096,
            Search = new SearchOptions { Mode = SearchMode.Exact, TopK = 128 },
        });
        await using var session = new AnnSession(context);
        await foreach (GeneratedToken token in session.GenerateAsync("The memory of a computer", new() { MaxTokens = 32 }))
        {
            Console.Write(token.Text);
        }
        Console.WriteLine($"\n{session.LastResult!.Timings.DecodeTokensPerSecond:0} tokens/s");
        // </example>
    }

    private static string Read(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    [GeneratedRegex("```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CSharpBlock();

    [GeneratedRegex(" // <example>\n(.*?) // </example>", RegexOptions.Singleline)]
    private static partial Regex Region();
}
