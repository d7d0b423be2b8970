namespace AnnRuntime.Cli;

/// <summary>A context that is timed, of ours or of the peer.</summary>
internal interface IBenchTarget : IDisposable
{
    /// <summary>Resolved search; null for the peer.</summary>
    SearchOptions? Search { get; }

    /// <summary>Bytes of K, V and search keys.</summary>
    (long K, long V, long Search) CacheBytes { get; }

    /// <summary>Bytes, of the process, up to now.</summary>
    long PeakRssBytes { get; }

    /// <summary>Marks cells as used: with random contents, or by computing that many tokens.</summary>
    void Fill(int depth, bool random, CancellationToken cancellationToken);

    /// <summary>Computes a prompt, then tokens one by one, and goes back to the depth before.</summary>
    /// <returns>Nanoseconds, without going back.</returns>
    long Run(int prompt, int generate, CancellationToken cancellationToken);

    /// <summary>Runs with times per kind of node; null where that cannot be measured.</summary>
    RetrievalStatistics? Measure(int prompt, int generate, CancellationToken cancellationToken);

    /// <summary>The index after a run that compared it with exact search; null where nothing searches by index.</summary>
    IndexStatistics? MeasureIndex(int prompt, int generate, CancellationToken cancellationToken);
}
