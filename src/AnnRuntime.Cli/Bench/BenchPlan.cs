namespace AnnRuntime.Cli;

/// <summary>What is asked of <see cref="BenchRunner"/>.</summary>
/// <param name="Tests">The tests; those of one depth share contexts.</param>
/// <param name="Variants">The variants; every one runs every test.</param>
/// <param name="Repetitions">Samples of each, at least 1.</param>
/// <param name="WarmUp">Runs each test once before, not timed.</param>
/// <param name="RandomFill">Fills cells with random contents instead of computing them.</param>
/// <param name="AvailableBytes">Memory that contexts may take together.</param>
internal sealed record BenchPlan(
    IReadOnlyList<BenchTest> Tests,
    IReadOnlyList<BenchVariant> Variants,
    int Repetitions,
    bool WarmUp,
    bool RandomFill,
    long AvailableBytes)
{
    /// <summary>Every prompt and every generation at every depth; zeros ask for nothing.</summary>
    public static IReadOnlyList<BenchTest> CreateTests(
        IReadOnlyList<int> prompts, IReadOnlyList<int> generations, IReadOnlyList<int> depths) =>
        [
            .. depths.Order().SelectMany(depth =>
                prompts.Where(n => n > 0).Select(n => new BenchTest(n, 0, depth))
                    .Concat(generations.Where(n => n > 0).Select(n => new BenchTest(0, n, depth)))),
        ];

    /// <summary>Variants that fit into memory together, in order; one that does not fit at all is a group of its own.</summary>
    public static IReadOnlyList<IReadOnlyList<BenchVariant>> Groups(
        IEnumerable<BenchVariant> variants, int cells, long availableBytes)
    {
        var groups = new List<IReadOnlyList<BenchVariant>>();
        var group = new List<BenchVariant>();
        long used = 0;
        foreach (BenchVariant variant in variants)
        {
            long bytes = variant.EstimateBytes(cells);
            if (group.Count > 0 && used + bytes > availableBytes)
            {
                groups.Add(group);
                group = [];
                used = 0;
            }

            group.Add(variant);
            used += bytes;
        }

        groups.Add(group);
        return groups;
    }
}
