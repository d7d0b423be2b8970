namespace AnnRuntime.Evaluation;

/// <summary>Bootstrap intervals of a ratio of sums: blocks are drawn with replacement, the seed is fixed.</summary>
public static class Bootstrap
{
    /// <summary>Interval of sum(values) / sum(weights) over blocks drawn as often as there are blocks.</summary>
    /// <param name="values">Sum of each block, such as differences of log-likelihood.</param>
    /// <param name="weights">Size of each block, positive.</param>
    /// <param name="draws">Samples drawn. Default 10000.</param>
    /// <param name="seed">Makes it repeatable. Default 1.</param>
    /// <exception cref="ArgumentException">No blocks, or not as many weights as values.</exception>
    public static Interval Mean(
        IReadOnlyList<double> values, IReadOnlyList<double> weights, int draws = 10_000, int seed = 1)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfLessThan(draws, 1);
        if (values.Count == 0 || values.Count != weights.Count)
        {
            throw new ArgumentException($"There are {values.Count} values and {weights.Count} weights; they must be as many, and at least one.");
        }

        var random = new StableRandom((ulong)(uint)seed);
        var means = new double[draws];
        for (int draw = 0; draw < draws; draw++)
        {
            double sum = 0, weight = 0;
            for (int i = 0; i < values.Count; i++)
            {
                int block = random.Next(values.Count);
                sum += values[block];
                weight += weights[block];
            }

            means[draw] = sum / weight;
        }

        Array.Sort(means);
        return new Interval(values.Sum() / weights.Sum(), Percentile(means, 0.025), Percentile(means, 0.975));
    }

    /// <summary>A percentile of sorted values, between neighbours in proportion.</summary>
    internal static double Percentile(IReadOnlyList<double> sorted, double share)
    {
        double at = share * (sorted.Count - 1);
        int below = (int)at;
        int above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }
}
