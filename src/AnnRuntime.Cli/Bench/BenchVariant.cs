namespace AnnRuntime.Cli;

/// <summary>One way of attending that is timed beside others.</summary>
/// <param name="Row">The columns that are the same in every row of the variant.</param>
/// <param name="EstimateBytes">Memory of a context with that many cells, without weights that others share.</param>
/// <param name="Open">Creates a context with that many cells.</param>
internal sealed record BenchVariant(
    BenchRow Row,
    Func<int, long> EstimateBytes,
    Func<int, CancellationToken, IBenchTarget> Open)
{
    /// <summary>In messages.</summary>
    public string Name => Row.Mode;
}
