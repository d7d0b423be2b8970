namespace AnnRuntime.Cli;

/// <summary>Statistics of repetitions, as llama-bench computes them, and the median.</summary>
internal static class BenchSamples
{
    /// <summary>Mean.</summary>
    public static double Average(IReadOnlyList<double> values) => values.Average();

    /// <summary>Standard deviation of the sample (divided by n - 1), 0 for a single value.</summary>
    public static double Deviation(IReadOnlyList<double> values)
    {
        if (values.Count < 2)
        {
            return 0;
        }

        double average = values.Average();
        return Math.Sqrt(values.Sum(value => (value - average) * (value - average)) / (values.Count - 1));
    }

    /// <summary>Middle value; of an even number the mean of the two.</summary>
    public static double Median(IReadOnlyList<double> values)
    {
        double[] sorted = [.. values.Order()];
        int half = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /// <summary>Tokens per second of every repetition.</summary>
    public static double[] TokensPerSecond(IEnumerable<long> samplesNs, int tokens) =>
        [.. samplesNs.Select(ns => 1e9 * tokens / ns)];
}
