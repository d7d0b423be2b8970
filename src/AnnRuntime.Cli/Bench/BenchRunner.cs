namespace AnnRuntime.Cli;

/// <summary>Times every variant of a plan; repetitions alternate, so that drift of the machine meets all alike.</summary>
internal sealed class BenchRunner(BenchPlan plan, Terminal terminal, Action<double> progress, CancellationToken cancellationToken)
{
    private const int MeasuredTokens = 8; // of the pass that tells where the time goes

    private int _done;

    /// <summary>Variants that could not run somewhere, with the reason.</summary>
    public List<string> Failures { get; } = [];

    /// <summary>Runs the plan.</summary>
    /// <param name="onDepth">Gets the rows of each depth when it is done.</param>
    public void Run(Action<IReadOnlyList<BenchRow>> onDepth)
    {
        foreach (IGrouping<int, BenchTest> tests in plan.Tests.GroupBy(test => test.Depth))
        {
            int cells = tests.Key + tests.Max(test => test.Tokens);
            IReadOnlyList<IReadOnlyList<BenchVariant>> groups = BenchPlan.Groups(plan.Variants, cells, plan.AvailableBytes);
            if (groups.Count > 1)
            {
                terminal.Error.WriteLine(
                    $"At depth {tests.Key} the {plan.Variants.Count} contexts do not fit into {Format.Bytes(plan.AvailableBytes)} "
                    + $"together: {groups.Count} groups run one after the other.");
            }

            List<BenchRow> rows = [.. groups.SelectMany(group => RunGroup(group, [.. tests], cells))];
            onDepth(WithRatios(rows));
        }
    }

    /// <summary>The rows with their speed over that of the fastest peer of the same test.</summary>
    public static IReadOnlyList<BenchRow> WithRatios(IReadOnlyList<BenchRow> rows) =>
        [
            .. rows.Select(row =>
            {
                BenchRow? best = rows.Where(peer => peer.Search == "stock" && peer.Test == row.Test).MinBy(peer => peer.MedianNs);
                return best is null ? row : row with { RatioToStock = Math.Round((double)best.MedianNs / row.MedianNs, 4) };
            }),
        ];

    private List<BenchRow> RunGroup(IReadOnlyList<BenchVariant> group, IReadOnlyList<BenchTest> tests, int cells)
    {
        var open = new List<(BenchVariant Variant, IBenchTarget Target)>();
        var rows = new List<BenchRow>();
        try
        {
            foreach (BenchVariant variant in group)
            {
                if (TryOpen(variant, cells, tests[0].Depth) is { } target)
                {
                    open.Add((variant, target));
                }
                else
                {
                    Step(tests.Count * (plan.Repetitions + 1));
                }
            }

            foreach (BenchTest test in open.Count > 0 ? tests : [])
            {
                rows.AddRange(RunTest(open, test));
            }

            return rows;
        }
        finally
        {
            open.ForEach(pair => pair.Target.Dispose());
        }
    }

    private IBenchTarget? TryOpen(BenchVariant variant, int cells, int depth)
    {
        IBenchTarget? target = null;
        try
        {
            target = variant.Open(cells, cancellationToken);
            if (depth > 0)
            {
                target.Fill(depth, plan.RandomFill, cancellationToken);
            }

            return target;
        }
        catch (AnnRuntimeException exception)
        {
            target?.Dispose();
            Failures.Add($"{variant.Name} at depth {depth}: {exception.Message}");
            return null;
        }
        catch
        {
            target?.Dispose();
            throw;
        }
    }

    private IEnumerable<BenchRow> RunTest(List<(BenchVariant Variant, IBenchTarget Target)> open, BenchTest test)
    {
        var samples = open.Select(_ => new List<long>()).ToList();
        foreach ((_, IBenchTarget target) in open)
        {
            if (plan.WarmUp)
            {
                _ = target.Run(test.Prompt, Math.Min(test.Generate, 1), cancellationToken);
            }

            Step(1);
        }

        for (int repetition = 0; repetition < plan.Repetitions; repetition++)
        {
            for (int i = 0; i < open.Count; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                samples[i].Add(open[i].Target.Run(test.Prompt, test.Generate, cancellationToken));
                Step(1);
            }
        }

        string time = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ");
        return [.. open.Select((pair, i) => CreateRow(pair.Variant, pair.Target, test, samples[i]) with
        {
            NAlternated = open.Count,
            TestTime = time,
        })];
    }

    private BenchRow CreateRow(BenchVariant variant, IBenchTarget target, BenchTest test, IReadOnlyList<long> samples)
    {
        RetrievalStatistics? parts =
            target.Measure(test.Prompt, Math.Min(test.Generate, MeasuredTokens), cancellationToken);
        IndexStatistics? index = target.MeasureIndex(test.Prompt, Math.Min(test.Generate, MeasuredTokens), cancellationToken);
        SearchOptions? searching = target.Search?.Mode is SearchMode.Off or SearchMode.Dense ? null : target.Search;
        SearchOptions? indexed = index is null ? null : searching;
        double[] ns = [.. samples.Select(sample => (double)sample)];
        double[] speeds = BenchSamples.TokensPerSecond(samples, test.Tokens);
        long? PerToken(TimeSpan? time) =>
            time is null ? null : (long)(time.Value.TotalNanoseconds / Math.Max(1, parts!.Tokens));
        double? PerQuery(long? count) => index is { Measured: > 0 } ? Math.Round((double)count!.Value / index.Measured, 1) : null;
        long? Each(TimeSpan? time, long? count) => count > 0 ? (long)(time!.Value.TotalNanoseconds / count.Value) : null;

        return variant.Row with
        {
            NPrompt = test.Prompt,
            NGen = test.Generate,
            NDepth = test.Depth,
            AvgNs = (long)BenchSamples.Average(ns),
            StddevNs = (long)BenchSamples.Deviation(ns),
            AvgTs = BenchSamples.Average(speeds),
            StddevTs = BenchSamples.Deviation(speeds),
            SamplesNs = [.. samples],
            SamplesTs = speeds,
            MedianNs = (long)BenchSamples.Median(ns),
            NTopK = searching?.TopK,
            NSink = target.Search?.Sinks,
            NWindow = target.Search?.Window,
            NReserved = target.Search is { } resolved ? variant.Row.NReserved - (resolved.Layers?.Count ?? 0) : null,
            Fill = test.Depth == 0 ? "none" : plan.RandomFill ? "random" : "prefill",
            Ef = indexed?.EfSearch,
            IndexM = indexed?.IndexLinks,
            IndexEfConstruction = indexed?.IndexEfConstruction,
            IndexThreads = indexed?.IndexThreads,
            IndexMinContext = indexed?.IndexMinContext,
            // queries that the index did not answer were answered by exact search
            RecallIndex = index is null ? variant.Row.RecallIndex : Math.Round(index.Recall ?? 1, 4),
            NRecallIndex = index?.Measured,
            IndexVisited = PerQuery(index?.Visited),
            IndexCompared = PerQuery(index?.Compared),
            IndexSearchNs = Each(index?.SearchTime, index?.Searches),
            IndexInsertNs = Each(index?.InsertTime, index?.Inserted),
            NIndexed = index?.Indexed,
            NPending = index?.Pending,
            IndexBytes = index?.Bytes,
            SearchNsPerToken = PerToken(parts?.SearchTime),
            AttentionNsPerToken = PerToken(parts?.AttentionTime),
            OtherNsPerToken = PerToken(parts?.OtherTime),
            KBytes = target.CacheBytes.K,
            VBytes = target.CacheBytes.V,
            SearchBytes = target.CacheBytes.Search,
            PeakRssBytes = target.PeakRssBytes,
        };
    }

    private void Step(int count)
    {
        _done += count;
        progress(_done / (double)(plan.Tests.Count * plan.Variants.Count * (plan.Repetitions + 1)));
    }
}
