namespace AnnRuntime.Cli;

/// <summary>What is timed: a prompt, or tokens one by one, behind a number of cells in use.</summary>
/// <param name="Prompt">Tokens of the prompt; 0: none.</param>
/// <param name="Generate">Tokens one by one; 0: none.</param>
/// <param name="Depth">Cells in use before.</param>
internal sealed record BenchTest(int Prompt, int Generate, int Depth)
{
    /// <summary>llama-bench's name, such as <c>tg32 @ d4096</c>.</summary>
    public string Name => NameOf(Prompt, Generate, Depth);

    /// <summary>Tokens of one repetition.</summary>
    public int Tokens => Prompt + Generate;

    /// <summary>llama-bench's name of a test.</summary>
    public static string NameOf(int prompt, int generate, int depth) =>
        (prompt > 0 ? $"pp{prompt}" : $"tg{generate}") + (depth > 0 ? $" @ d{depth}" : "");
}
