namespace AnnRuntime.Evaluation;

/// <summary>What one variant did on one window of a text.</summary>
/// <param name="Variant">Everything that decides the figures, as text.</param>
/// <param name="Window">Index of the window.</param>
/// <param name="Targets">Predicted tokens: all but the first of the window, of its segments, or of its generated end.</param>
/// <param name="BlockNll">
/// Negative log-likelihood in nats, summed over blocks of <see cref="BlockTargets"/> targets; the last may be shorter.
/// </param>
/// <param name="Seconds">Time of the window.</param>
/// <param name="Layers">Mass and recall of every searched layer; empty when not measured.</param>
/// <param name="Divergence">Token by token against full attention; null when not measured.</param>
public sealed record WindowResult(
    string Variant,
    int Window,
    int Targets,
    IReadOnlyList<double> BlockNll,
    double Seconds,
    IReadOnlyList<WindowLayer> Layers,
    WindowDivergence? Divergence)
{
    /// <summary>Targets of a block. Blocks, not tokens, are resampled: neighbouring tokens are not independent.</summary>
    public const int BlockTargets = 128;
}

/// <summary>Sums of one layer over the measured queries of a window.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Queries">Measured queries.</param>
/// <param name="Mass">Mean attention mass on the candidates.</param>
/// <param name="TeacherRecall">Mean share of the teacher's top min(K, visible) cells among them.</param>
/// <param name="SearchMicroseconds">Time of the choice per query, of all threads together busy; 0 when not timed.</param>
/// <param name="IndexRecall">Mean share of the exact search's cells that an index found; null without an index.</param>
/// <param name="Compared">Mean search keys that a query was compared with; null for selectors without search keys.</param>
public sealed record WindowLayer(
    int Layer, long Queries, double Mass, double TeacherRecall, double SearchMicroseconds, double? IndexRecall = null,
    double? Compared = null);
