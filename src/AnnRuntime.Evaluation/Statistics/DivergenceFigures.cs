namespace AnnRuntime.Evaluation;

/// <summary>Next-token distributions of a variant against full attention: the measures of llama-perplexity --kl-divergence.</summary>
/// <param name="Variant">Its name.</param>
/// <param name="Targets">Compared distributions.</param>
/// <param name="MeanKl">Mean KL divergence in nats, with an interval over windows' blocks.</param>
/// <param name="MedianKl">Median.</param>
/// <param name="Kl90">90th percentile.</param>
/// <param name="Kl99">99th percentile.</param>
/// <param name="Kl999">99.9th percentile.</param>
/// <param name="MaxKl">Largest.</param>
/// <param name="SameTopPercent">Share with the same most likely token.</param>
/// <param name="SameTopErrorPercent">Standard error of it.</param>
/// <param name="MeanLogRatio">Mean of log p(variant) - log p(full) of the targets; its negative is the log of the perplexity ratio.</param>
/// <param name="MeanProbabilityChangePercent">Mean of p(variant) - p(full) of the targets.</param>
/// <param name="RootMeanSquareChangePercent">Root mean square of it.</param>
public sealed record DivergenceFigures(
    string Variant,
    int Targets,
    Interval MeanKl,
    double MedianKl,
    double Kl90,
    double Kl99,
    double Kl999,
    double MaxKl,
    double SameTopPercent,
    double SameTopErrorPercent,
    double MeanLogRatio,
    double MeanProbabilityChangePercent,
    double RootMeanSquareChangePercent)
{
    /// <summary>Sums the windows of a variant up.</summary>
    /// <param name="variant">Its name.</param>
    /// <param name="results">Its windows, compared ones.</param>
    public static DivergenceFigures From(string variant, IReadOnlyList<WindowResult> results)
    {
        ArgumentNullException.ThrowIfNull(results);
        WindowDivergence[] windows = [.. results.Select(result => result.Divergence!)];
        double[] kl = [.. windows.SelectMany(window => window.Kl).Select(value => (double)value)];
        double[][] blocks = [.. windows.SelectMany(window => window.Kl.Select(value => (double)value).Chunk(WindowResult.BlockTargets))];
        Interval mean = Bootstrap.Mean([.. blocks.Select(block => block.Sum())], [.. blocks.Select(block => (double)block.Length)]);
        double[] sorted = [.. kl.Order()];
        double same = (double)windows.Sum(window => window.SameTop) / kl.Length;
        double[] change = [.. windows.SelectMany(window => window.ProbabilityChange).Select(value => (double)value)];
        return new DivergenceFigures(
            variant,
            kl.Length,
            mean,
            Bootstrap.Percentile(sorted, 0.5),
            Bootstrap.Percentile(sorted, 0.9),
            Bootstrap.Percentile(sorted, 0.99),
            Bootstrap.Percentile(sorted, 0.999),
            sorted[^1],
            100 * same,
            100 * Math.Sqrt(same * (1 - same) / kl.Length),
            windows.SelectMany(window => window.LogRatio).Average(value => (double)value),
            100 * change.Average(),
            100 * Math.Sqrt(change.Average(value => value * value)));
    }
}
