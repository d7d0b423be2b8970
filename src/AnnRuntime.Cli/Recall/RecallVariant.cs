namespace AnnRuntime.Cli;

/// <summary>One way of attending that is compared with others.</summary>
/// <param name="Name">In tables and JSON.</param>
/// <param name="Search">The search.</param>
internal sealed record RecallVariant(string Name, SearchOptions Search)
{
    /// <summary>Variants of a list of modes and a list of K.</summary>
    public static IReadOnlyList<RecallVariant> From(
        IReadOnlyList<string> modes, IReadOnlyList<int>? topK, SearchOptions shared)
    {
        var variants = new List<RecallVariant>();
        foreach (string mode in modes)
        {
            SearchMode parsed = Enum.Parse<SearchMode>(mode, ignoreCase: true);
            if (parsed is SearchMode.Off or SearchMode.Dense)
            {
                variants.Add(new RecallVariant(mode, new SearchOptions { Mode = parsed }));
                continue;
            }

            foreach (int? k in topK is null ? [null] : topK.Select(k => (int?)k))
            {
                variants.Add(new RecallVariant(
                    k is null ? mode : $"{mode} K={k}", shared with { Mode = parsed, TopK = k }));
            }
        }

        return variants;
    }
}
