namespace AnnRuntime.Benchmarks;

/// <summary>What the benchmarks have in common.</summary>
internal static class Figures
{
    /// <summary>Greedy answers of a fixed length.</summary>
    public static GenerationOptions Greedy(int tokens) => new()
    {
        MaxTokens = tokens,
        Sampling = SamplingOptions.Greedy,
        IgnoreEndOfGeneration = true,
    };

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
    }

    public static double[] Rounded(IEnumerable<double> values, int digits = 1) => [.. values.Select(value => Math.Round(value, digits))];

    /// <summary>Tokens of the filler text from a place on.</summary>
    public static int[] Prose(AnnModel model, int firstParagraph, int count)
    {
        string text = string.Join("\n\n", FillerText.Default.Take(firstParagraph, count).Select(words => string.Join(' ', words)));
        return model.Tokenizer.Tokenize(text)[..count];
    }
}
