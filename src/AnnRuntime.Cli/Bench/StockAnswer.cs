namespace AnnRuntime.Cli;

/// <summary>One answer of <c>stock-bench</c>.</summary>
internal sealed record StockAnswer
{
    /// <summary>Null: it worked.</summary>
    public string? Error { get; init; }
    public long Ns { get; init; }
    public long KBytes { get; init; }
    public long VBytes { get; init; }
    public long ModelBytes { get; init; }
    public long PeakRssBytes { get; init; }
}
