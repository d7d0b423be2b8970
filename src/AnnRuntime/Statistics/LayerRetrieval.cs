using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>What the search of one layer did.</summary>
public sealed record LayerRetrieval
{
    /// <summary>The layer.</summary>
    public required int Layer { get; init; }

    /// <summary>False for a reserved layer, which attends to all cells.</summary>
    public required bool Searched { get; init; }

    /// <summary>Queries that searched.</summary>
    public required long Queries { get; init; }

    /// <summary>Queries that attended to all cells.</summary>
    public required long DenseQueries { get; init; }

    /// <summary>Mean cells visible to a searching query; null when none searched.</summary>
    public required double? Visible { get; init; }

    /// <summary>Mean cells that a searching query attended to; null when none searched.</summary>
    public required double? Attended { get; init; }

    /// <summary>
    /// Mean search keys that a searching query was compared with: all visible ones by exact search, those that it met by an
    /// index; null when none searched.
    /// </summary>
    public required double? Scored { get; init; }

    /// <summary>Queries whose mass and recall were measured.</summary>
    public required long Measured { get; init; }

    /// <summary>Mean share of the full attention's mass on the candidates, 0..1; null when not measured.</summary>
    public required double? Mass { get; init; }

    /// <summary>Mean share of the teacher's top-k among the candidates, 0..1; null when not measured.</summary>
    public required double? TeacherRecall { get; init; }

    /// <summary>Mean share of the exact search's cells that the index found, 0..1; null when not measured.</summary>
    public required double? IndexRecall { get; init; }

    /// <summary>Time in search.</summary>
    public required TimeSpan SearchTime { get; init; }

    /// <summary>Time in attention.</summary>
    public required TimeSpan AttentionTime { get; init; }

    internal static LayerRetrieval FromNative(in AnnLayerStats native) => new()
    {
        Layer = native.Layer,
        Searched = native.Searched != 0,
        Queries = (long)native.NQuery,
        DenseQueries = (long)native.NDense,
        Visible = Mean(native.NVisible, native.NQuery),
        Attended = Mean(native.NAttended, native.NQuery),
        Scored = Mean(native.NScored, native.NQuery),
        Measured = (long)native.NMeasured,
        Mass = Mean(native.MassSum, native.NMeasured),
        TeacherRecall = Mean(native.RecallTeacherSum, native.NMeasured),
        IndexRecall = Mean(native.RecallIndexSum, native.NMeasured),
        SearchTime = Duration(native.SearchNs),
        AttentionTime = Duration(native.AttentionNs),
    };

    internal static TimeSpan Duration(ulong nanoseconds) => TimeSpan.FromTicks((long)(nanoseconds / 100));

    private static double? Mean(double sum, ulong count) => count == 0 ? null : sum / count;
}
