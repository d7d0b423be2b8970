using System.Diagnostics;

namespace AnnRuntime.Cli;

/// <summary>A context of ours.</summary>
internal sealed class AnnBenchTarget(AnnModel model, ContextOptions options) : IBenchTarget
{
    private readonly AnnContext _context = model.CreateContext(options);
    private readonly Random _random = new(1);

    public SearchOptions Search => _context.Search;

    public (long K, long V, long Search) CacheBytes =>
        (_context.Memory.KeyBytes, _context.Memory.ValueBytes, _context.Memory.SearchKeyBytes);

    public long PeakRssBytes => BenchMachine.PeakRssBytes();

    public void Fill(int depth, bool random, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (random)
        {
            _context.FillRandom(depth, 1);
        }
        else
        {
            Decode(Tokens(depth), cancellationToken);
        }
    }

    public long Run(int prompt, int generate, CancellationToken cancellationToken)
    {
        int depth = _context.GetSequenceRange(0).Last + 1;
        int[] promptTokens = Tokens(prompt);
        int[] generated = Tokens(generate);
        long start = Stopwatch.GetTimestamp();
        Decode(promptTokens, cancellationToken);
        for (int i = 0; i < generated.Length; i++)
        {
            _context.Decode(generated.AsSpan(i, 1), cancellationToken);
        }

        long nanoseconds = (long)Stopwatch.GetElapsedTime(start).TotalNanoseconds;
        _context.RemoveSequence(0, depth);
        return nanoseconds;
    }

    public RetrievalStatistics Measure(int prompt, int generate, CancellationToken cancellationToken)
    {
        _context.StartStatistics(StatisticsKinds.Time);
        _ = Run(prompt, generate, cancellationToken);
        RetrievalStatistics statistics = _context.GetStatistics();
        _context.StartStatistics(StatisticsKinds.None);
        return statistics;
    }

    public IndexStatistics? MeasureIndex(int prompt, int generate, CancellationToken cancellationToken)
    {
        if (Search.Mode is not (SearchMode.Hnsw or SearchMode.Auto))
        {
            return null;
        }

        _context.StartStatistics(StatisticsKinds.Index);
        _ = Run(prompt, generate, cancellationToken);
        IndexStatistics statistics = _context.GetIndexStatistics();
        _context.StartStatistics(StatisticsKinds.None);
        return statistics;
    }

    public void Dispose() => _context.Dispose();

    private void Decode(int[] tokens, CancellationToken cancellationToken)
    {
        for (int i = 0; i < tokens.Length; i += options.BatchSize)
        {
            _context.Decode(tokens.AsSpan(i, Math.Min(options.BatchSize, tokens.Length - i)), cancellationToken);
        }
    }

    private int[] Tokens(int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = _random.Next(model.Info.VocabularySize);
        }

        return tokens;
    }
}
