using System.Diagnostics;

namespace AnnRuntime.Evaluation;

/// <summary>Times tokens decoded one by one behind a full window.</summary>
public sealed class DecodeTimer : IDisposable
{
    private const int Tokens = 16, Rounds = 3;

    private readonly AnnContext _context;
    private readonly int[] _window;

    /// <summary>Fills the cache with a window, once, with full attention.</summary>
    /// <param name="model">A model with projections.</param>
    /// <param name="options">Types and threads.</param>
    /// <param name="window">Tokens, more than 16.</param>
    public DecodeTimer(AnnModel model, ContextOptions options, ReadOnlyMemory<int> window)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        _window = window.ToArray();
        _context = model.CreateContext(options with
        {
            ContextLength = _window.Length,
            Search = new SearchOptions { Mode = SearchMode.Dense },
        });
        for (int from = 0; from < _window.Length; from += 512)
        {
            _context.Decode(_window.AsSpan(from, Math.Min(512, _window.Length - from)));
        }
    }

    /// <summary>Tokens per second of a search: the median of single tokens.</summary>
    /// <param name="search">The search.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public double Measure(SearchOptions search, CancellationToken cancellationToken = default)
    {
        _context.Search = search;
        var times = new List<double>();
        for (int round = 0; round < Rounds; round++)
        {
            int first = _window.Length - Tokens;
            _context.RemoveSequence(0, first);
            for (int i = first; i < _window.Length; i++)
            {
                long start = Stopwatch.GetTimestamp();
                _context.Decode(_window.AsSpan(i, 1), cancellationToken);
                times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }

        times.Sort();
        return 1 / times[times.Count / 2];
    }

    /// <summary>Frees the cache.</summary>
    public void Dispose() => _context.Dispose();
}
