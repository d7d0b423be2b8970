namespace AnnRuntime.Cli;

/// <summary>Numbers as people read them. The program runs with the invariant culture (Directory.Build.props).</summary>
internal static class Format
{
    public static string Bytes(double bytes) => bytes switch
    {
        >= 1L << 30 => $"{bytes / (1L << 30):0.00} GiB",
        >= 1L << 20 => $"{bytes / (1L << 20):0.0} MiB",
        >= 1L << 10 => $"{bytes / (1L << 10):0.0} KiB",
        _ => $"{bytes:0} B",
    };

    public static string Seconds(TimeSpan time) => $"{time.TotalSeconds:0.00} s";

    public static string Share(double? share) => share is { } value ? $"{value:0.000}" : "-";

    public static string Count(long count) => $"{count:N0}";

    /// <summary>One line: tokens, time and speed of prompt and answer.</summary>
    public static string Timings(GenerationTimings timings)
    {
        string cached = timings.CachedTokens > 0 ? $" ({timings.CachedTokens} reused)" : "";
        return
            $"prompt {timings.PromptTokens} tokens{cached}, {timings.PromptTime.TotalSeconds:0.00} s, "
            + $"{timings.PromptTokensPerSecond:0.0} tokens/s; answer {timings.GeneratedTokens} tokens, "
            + $"{timings.DecodeTokensPerSecond:0.0} tokens/s, {timings.DecodeMillisecondsPerToken:0.00} ms/token";
    }

    /// <summary>One line: mode and numbers of cells.</summary>
    public static string Search(SearchOptions search) => search.Mode switch
    {
        SearchMode.Off => "search off",
        SearchMode.Dense => "search keys kept, full attention",
        _ => search.Mode switch
            {
                SearchMode.Hnsw => $"search by index (ef {search.EfSearch})",
                SearchMode.Auto => $"search by index (ef {search.EfSearch}) from {search.IndexMinContext} cells on, exact below",
                _ => "exact search",
            }
            + $", K {search.TopK} (sinks {search.Sinks}, window {search.Window}) in "
            + $"{search.Layers?.Count ?? 0} layers, {search.Prefill.ToString().ToLowerInvariant()} prefill",
    };
}
