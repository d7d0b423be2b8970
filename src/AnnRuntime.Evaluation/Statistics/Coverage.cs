namespace AnnRuntime.Evaluation;

/// <summary>Which layers search when only some of them do.</summary>
public static class Coverage
{
    /// <summary>The strongest layers search: the weakest stay reserved.</summary>
    /// <param name="weakestFirst">All layers with projections.</param>
    /// <param name="count">Layers that search.</param>
    public static IReadOnlyList<int> ReserveWeakest(IReadOnlyList<int> weakestFirst, int count) =>
        [.. weakestFirst.Skip(weakestFirst.Count - count).Order()];

    /// <summary>The weakest layers search: the worst case.</summary>
    /// <param name="weakestFirst">All layers with projections.</param>
    /// <param name="count">Layers that search.</param>
    public static IReadOnlyList<int> WorstFirst(IReadOnlyList<int> weakestFirst, int count) =>
        [.. weakestFirst.Take(count).Order()];

    /// <summary>Layers at even distances.</summary>
    /// <param name="layers">All layers with projections, ascending.</param>
    /// <param name="count">Layers that search.</param>
    public static IReadOnlyList<int> Evenly(IReadOnlyList<int> layers, int count) =>
        [.. Enumerable.Range(0, count).Select(i => layers[(int)((i + 0.5) * layers.Count / count)])];

    /// <summary>Counts of searching layers: 0 to all in about six steps, or steps of a given size.</summary>
    /// <param name="layers">Layers with projections.</param>
    /// <param name="step">Layers of a step; null: a sixth of them, at least 1.</param>
    public static IReadOnlyList<int> Counts(int layers, int? step)
    {
        int size = step ?? Math.Max(1, layers / 6);
        return [.. Enumerable.Range(0, layers / size + 1).Select(i => i * size).Append(layers).Distinct()];
    }

    /// <summary>Whether no other point has both a smaller gap and more searching layers (or one of them equal).</summary>
    /// <param name="point">The point.</param>
    /// <param name="all">All points.</param>
    public static bool IsOnFront((int Layers, double Gap) point, IEnumerable<(int Layers, double Gap)> all) =>
        !all.Any(other => other.Layers >= point.Layers && other.Gap <= point.Gap && other != point);
}
