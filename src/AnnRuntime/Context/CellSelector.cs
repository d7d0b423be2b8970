namespace AnnRuntime;

/// <summary>What chooses the cells of a searched layer. Mirrors <c>ann_selector</c>.</summary>
/// <remarks>
/// All but <see cref="Learned"/> are published ways of choosing cells from the model's own queries and keys, with one
/// choice for all heads of a layer. They exist to be compared with, and are computed naively on the CPU.
/// </remarks>
public enum CellSelector
{
    /// <summary>Search queries and search keys.</summary>
    Learned = 0,

    /// <summary>The largest attention logit of any head: what a search could know at best.</summary>
    Oracle = 1,

    /// <summary>Quest: pages of 16 cells, by the bound of their smallest and largest keys.</summary>
    Pages = 2,

    /// <summary>StreamingLLM, Longformer: sinks and the last cells.</summary>
    Recent = 3,

    /// <summary>BigBird: sinks, half the last cells, half random ones.</summary>
    BigBird = 4,

    /// <summary>Reformer: shared buckets of 8 random rotations with 16 buckets each.</summary>
    Lsh = 5,

    /// <summary>Random cells.</summary>
    Random = 6,
}
