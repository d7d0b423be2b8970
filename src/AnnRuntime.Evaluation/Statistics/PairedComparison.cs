namespace AnnRuntime.Evaluation;

/// <summary>Two variants on the same targets.</summary>
/// <param name="A">The first.</param>
/// <param name="B">The second.</param>
/// <param name="Targets">Targets of each.</param>
/// <param name="Blocks">Blocks that were resampled.</param>
/// <param name="NllDifference">Mean of A's negative log-likelihood minus B's, in nats per token: below 0, A is better.</param>
/// <param name="Verdict">a, b, or none when 0 lies in the interval.</param>
public sealed record PairedComparison(string A, string B, int Targets, int Blocks, Interval NllDifference, string Verdict)
{
    /// <summary>Compares the windows of two variants.</summary>
    /// <param name="nameA">Name of the first.</param>
    /// <param name="a">Its windows.</param>
    /// <param name="nameB">Name of the second.</param>
    /// <param name="b">Its windows, the same ones in the same order.</param>
    /// <exception cref="ArgumentException">Other windows.</exception>
    public static PairedComparison From(
        string nameA, IReadOnlyList<WindowResult> a, string nameB, IReadOnlyList<WindowResult> b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        if (!a.Select(result => (result.Window, result.Targets)).SequenceEqual(b.Select(result => (result.Window, result.Targets))))
        {
            throw new ArgumentException($"'{nameA}' and '{nameB}' were not computed on the same windows.");
        }

        var differences = new List<double>();
        var sizes = new List<double>();
        for (int window = 0; window < a.Count; window++)
        {
            for (int block = 0; block < a[window].BlockNll.Count; block++)
            {
                differences.Add(a[window].BlockNll[block] - b[window].BlockNll[block]);
                sizes.Add(Math.Min(WindowResult.BlockTargets, a[window].Targets - block * WindowResult.BlockTargets));
            }
        }

        Interval interval = Bootstrap.Mean(differences, sizes);
        string verdict = interval.HoldsZero ? "none" : interval.Mean < 0 ? "a" : "b";
        return new PairedComparison(nameA, nameB, a.Sum(result => result.Targets), differences.Count, interval, verdict);
    }
}
