namespace AnnRuntime.Cli;

/// <summary>A search as it was used.</summary>
internal sealed record SearchReport(
    string Mode, int? TopK, int? Sinks, int? Window, string Prefill, int? MinContext, IReadOnlyList<int> Layers, int? EfSearch,
    int? IndexMinContext)
{
    public static SearchReport From(SearchOptions search) => new(
        (search.Mode ?? SearchMode.Off).ToString().ToLowerInvariant(),
        search.TopK,
        search.Sinks,
        search.Window,
        search.Prefill.ToString().ToLowerInvariant(),
        search.MinContext,
        search.Layers ?? [],
        search.EfSearch,
        search.EfSearch is null ? null : search.IndexMinContext);
}
