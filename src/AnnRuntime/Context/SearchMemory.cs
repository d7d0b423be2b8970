namespace AnnRuntime;

/// <summary>Where search keys are kept.</summary>
/// <remarks>
/// Search is computed where they are, attention where K and V are (<see cref="ContextOptions.OffloadCache"/>). Where these
/// differ, a token's vectors and its list of cells go from one to the other, never a cache. Without a GPU all are the same.
/// </remarks>
public enum SearchMemory
{
    /// <summary>With K and V; on the host for <see cref="SearchMode.Hnsw"/>, whose index needs them there.</summary>
    Auto = 0,

    /// <summary>
    /// With the device of their layer. With K and V on the host: a context beyond the GPU's memory that the GPU searches.
    /// </summary>
    Device = 1,

    /// <summary>On the host, where the CPU searches, the tokens of a prompt too: for an index beside K and V on a GPU.</summary>
    Host = 2,
}
