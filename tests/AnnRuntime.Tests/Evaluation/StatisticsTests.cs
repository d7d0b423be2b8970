using AnnRuntime.Evaluation;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>Metrics on cases computed by hand and against plain formulas.</summary>
public sealed class StatisticsTests
{
    [Fact]
    public void Log_sum_exp_of_equal_logits_is_the_logarithm_of_their_number()
    {
        Assert.Equal(Math.Log(4), Logits.LogSumExp([0, 0, 0, 0]), 6);
        Assert.Equal(1000 + Math.Log(2), Logits.LogSumExp([1000, 1000, -1000]), 4);
    }

    [Fact]
    public void Divergence_of_two_coins()
    {
        // p = (1/2, 1/2), q = (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3
        float[] p = [0, 0];
        float[] q = [0, MathF.Log(3)];
        Assert.Equal(0.5 * Math.Log(2) + 0.5 * Math.Log(2.0 / 3), Logits.Divergence(p, q), 6);
        Assert.Equal(0, Logits.Divergence(p, [7, 7]), 6);
        Assert.Equal(0, Logits.Divergence([0, -1000], [5, -1000]), 6);
    }

    [Fact]
    public void Divergence_equals_the_sum_over_probabilities()
    {
        var random = new Random(5);
        float[] p = [.. Enumerable.Range(0, 500).Select(_ => (float)(random.NextDouble() * 10))];
        float[] q = [.. p.Select(x => x + (float)random.NextDouble())];
        double sumP = p.Sum(x => Math.Exp(x)), sumQ = q.Sum(x => Math.Exp(x));
        double expected = p.Zip(q, (a, b) => Math.Exp(a) / sumP * Math.Log(Math.Exp(a) / sumP / (Math.Exp(b) / sumQ))).Sum();
        Assert.Equal(expected, Logits.Divergence(p, q), 6);
    }

    [Fact]
    public void Bootstrap_of_equal_blocks_has_no_width()
    {
        Interval interval = Bootstrap.Mean([6, 6, 3], [2, 2, 1]);
        Assert.Equal((3.0, 3.0, 3.0), (interval.Mean, interval.Low, interval.High));
        Assert.False(interval.HoldsZero);
        Assert.Throws<ArgumentException>(() => Bootstrap.Mean([], []));
        Assert.Throws<ArgumentException>(() => Bootstrap.Mean([1], [1, 2]));
    }

    [Fact]
    public void Bootstrap_of_two_blocks_has_their_values_as_limits()
    {
        // draws of two blocks: (0,0), (0,1), (1,0), (1,1): a quarter each at the ends, so both ends lie in the 95 %
        Interval interval = Bootstrap.Mean([0, 1], [1, 1]);
        Assert.Equal((0.5, 0.0, 1.0), (interval.Mean, interval.Low, interval.High));
        Assert.True(interval.HoldsZero);
    }

    [Fact]
    public void Bootstrap_of_many_blocks_is_the_normal_interval()
    {
        var random = new Random(3);
        double[] values = [.. Enumerable.Range(0, 400).Select(_ => Enumerable.Range(0, 12).Sum(_ => random.NextDouble()) - 6)];
        double mean = values.Average();
        double error = Math.Sqrt(values.Sum(x => (x - mean) * (x - mean)) / values.Length / values.Length);
        Interval interval = Bootstrap.Mean(values, [.. values.Select(_ => 1.0)]);
        Assert.Equal(mean, interval.Mean, 12);
        Assert.InRange(interval.Low, mean - 1.96 * error - 0.1 * error, mean - 1.96 * error + 0.1 * error);
        Assert.InRange(interval.High, mean + 1.96 * error - 0.1 * error, mean + 1.96 * error + 0.1 * error);
    }

    [Fact]
    public void Percentiles_lie_between_neighbours()
    {
        double[] sorted = [10, 20, 30];
        Assert.Equal(10, Bootstrap.Percentile(sorted, 0));
        Assert.Equal(25, Bootstrap.Percentile(sorted, 0.75));
        Assert.Equal(30, Bootstrap.Percentile(sorted, 1));
    }

    [Fact]
    public void A_pair_is_the_mean_difference_per_token_and_says_who_is_better()
    {
        // 130 targets: a block of 128 and one of 2
        WindowResult a = Window("a", [128, 2]), b = Window("b", [256, 4]);
        PairedComparison pair = PairedComparison.From("A", [a], "B", [b]);
        Assert.Equal((130, 2, -1.0, "a"), (pair.Targets, pair.Blocks, pair.NllDifference.Mean, pair.Verdict));
        Assert.Equal("b", PairedComparison.From("A", [b], "B", [a]).Verdict);
        Assert.Equal("none", PairedComparison.From("A", [a], "B", [a]).Verdict);
        Assert.Throws<ArgumentException>(() => PairedComparison.From("A", [a], "B", [b with { Window = 1 }]));
    }

    [Fact]
    public void Divergence_figures_of_known_values()
    {
        WindowDivergence divergence = new([0, 0.1f, 0.2f, 0.7f], [0, 0, -1, 1], [0, 0.1f, -0.3f, 0], 3);
        DivergenceFigures figures = DivergenceFigures.From("v", [Window("v", [4], 4) with { Divergence = divergence }]);
        Assert.Equal(0.25, figures.MeanKl.Mean, 6);
        Assert.Equal(0.15, figures.MedianKl, 6);
        Assert.Equal(0.7, figures.MaxKl, 6);
        Assert.Equal(75, figures.SameTopPercent, 6);
        Assert.Equal(100 * Math.Sqrt(0.75 * 0.25 / 4), figures.SameTopErrorPercent, 6);
        Assert.Equal(-5, figures.MeanProbabilityChangePercent, 4);
        Assert.Equal(100 * Math.Sqrt(0.1 / 4), figures.RootMeanSquareChangePercent, 4);
    }

    [Fact]
    public void Weak_and_diffuse_layers_are_named_and_reserved()
    {
        VariantFigures learned = Measured(0.95, 0.30, 0.70), oracle = Measured(0.96, 0.31, 0.80);
        IReadOnlyList<LayerAdvice> layers = LayerAdvice.From(learned, oracle);
        Assert.Equal([false, false, true], layers.Select(layer => layer.Weak));
        Assert.Equal([false, true, false], layers.Select(layer => layer.Diffuse));
        Assert.Equal([1, 2], LayerAdvice.Reserve(layers));
        Assert.Equal([1, 2, 0], LayerAdvice.WeakestFirst(learned.Layers));
    }

    [Fact]
    public void Coverage_takes_the_strongest_the_weakest_or_even_distances()
    {
        int[] weakest = [5, 0, 1, 4, 3, 2];
        Assert.Equal([2, 3, 4], Coverage.ReserveWeakest(weakest, 3));
        Assert.Equal([0, 1, 5], Coverage.WorstFirst(weakest, 3));
        Assert.Equal([1, 3, 5], Coverage.Evenly([0, 1, 2, 3, 4, 5], 3));
        Assert.Equal([0, 2, 4, 6, 8, 10, 12], Coverage.Counts(12, null));
        Assert.Equal([0, 5, 10, 12], Coverage.Counts(12, 5));
    }

    [Fact]
    public void The_front_holds_what_nothing_dominates()
    {
        (int, double)[] all = [(0, 0), (2, 1), (2, 2), (4, 1.5), (6, 1.5)];
        Assert.Equal([true, true, false, false, true], all.Select(point => Coverage.IsOnFront(point, all)));
    }

    [Fact]
    public void Figures_are_means_over_targets_not_over_windows()
    {
        var plan = new EvaluationPlan
        {
            Variants = [EvaluationVariant.Dense, Exact],
            Windows = new TextWindows([1, 2, 3, 4], 2, 2),
            Context = new ContextOptions(),
        };
        WindowLayer[] first = [new(0, 10, 0.5, 0.4, 0)], second = [new(0, 30, 0.9, 0.8, 0)];
        WindowResult[] results =
        [
            Window("dense", [100], 100), Window("dense", [0], 300, 1),
            Window(Exact.Key, [100], 100) with { Layers = first }, Window(Exact.Key, [40], 300, 1) with { Layers = second },
        ];
        IReadOnlyList<VariantFigures> figures = VariantFigures.From(plan, results, [0]);
        Assert.Equal(Math.Exp(0.25), figures[0].Perplexity, 9);
        Assert.Equal(0, figures[0].GapPercent!.Value, 9);
        Assert.Equal(100 * (Math.Exp(0.1) - 1), figures[1].GapPercent!.Value, 9);
        Assert.Equal(0.8, figures[1].Mass!.Value, 9);
        Assert.Equal(0.7, figures[1].TeacherRecall!.Value, 9);
        Assert.Null(figures[0].Mass);
    }

    private static EvaluationVariant Exact { get; } = new("exact", new SearchOptions { Mode = SearchMode.Exact, TopK = 4 });

    private static WindowResult Window(string variant, double[] blocks, int targets = 130, int window = 0) =>
        new(variant, window, targets, blocks, 1, [], null);

    private static VariantFigures Measured(params double[] mass) => new(
        "v", "exact", 128, 4, 32, [0, 1, 2], 1, 1, 0, 1, 0, 0, 0, null, null, 1, null, [.. mass.Select((value, i) => new WindowLayer(i, 1, value, 0.5, 0))]);
}
