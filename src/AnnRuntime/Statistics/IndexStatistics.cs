using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>What the index over the search keys holds and did (mode hnsw and auto).</summary>
/// <remarks>
/// Searches are counted from <see cref="AnnContext.StartStatistics"/> or from the index's beginning, whichever was later,
/// with or without statistics running; insertions from the index's beginning. All zero where there is no index.
/// </remarks>
public sealed record IndexStatistics
{
    /// <summary>The layer; null: all layers, summed.</summary>
    public required int? Layer { get; init; }

    /// <summary>Graphs that each query of a layer searches, one thread each.</summary>
    public required long Graphs { get; init; }

    /// <summary>Cells that a search can return.</summary>
    public required long Indexed { get; init; }

    /// <summary>Cells still in the graphs that it cannot: they were removed.</summary>
    public required long Erased { get; init; }

    /// <summary>Cells that wait for their insertion and are scanned exactly until then.</summary>
    public required long Pending { get; init; }

    /// <summary>Insertions.</summary>
    public required long Inserted { get; init; }

    /// <summary>Time of all insertions, of threads, summed.</summary>
    public required TimeSpan InsertTime { get; init; }

    /// <summary>Searches of one graph.</summary>
    public required long Searches { get; init; }

    /// <summary>Of them, those that scanned instead: few visible cells, or few cells.</summary>
    public required long ExactSearches { get; init; }

    /// <summary>Cells visited: their links were followed.</summary>
    public required long Visited { get; init; }

    /// <summary>Search keys compared with a query.</summary>
    public required long Compared { get; init; }

    /// <summary>Time of all searches, of threads, summed.</summary>
    public required TimeSpan SearchTime { get; init; }

    /// <summary>Memory in bytes, without the search keys.</summary>
    public required long Bytes { get; init; }

    /// <summary>Queries compared with exact search (<see cref="StatisticsKinds.Index"/> or <see cref="StatisticsKinds.Mass"/>).</summary>
    public required long Measured { get; init; }

    /// <summary>Of these, the mean share of the exact search's cells that the index found, 0..1; null when none was measured.</summary>
    public required double? Recall { get; init; }

    internal static IndexStatistics FromNative(in AnnIndexStats native) => new()
    {
        Layer = native.Layer < 0 ? null : native.Layer,
        Graphs = (long)native.NGraphs,
        Indexed = (long)native.NIndexed,
        Erased = (long)native.NErased,
        Pending = (long)native.NPending,
        Inserted = (long)native.NInserted,
        InsertTime = LayerRetrieval.Duration(native.InsertNs),
        Searches = (long)native.NSearched,
        ExactSearches = (long)native.NExact,
        Visited = (long)native.NExpanded,
        Compared = (long)native.NScored,
        SearchTime = LayerRetrieval.Duration(native.SearchNs),
        Bytes = (long)native.Bytes,
        Measured = (long)native.NMeasured,
        Recall = native.NMeasured == 0 ? null : native.RecallIndexSum / native.NMeasured,
    };
}
