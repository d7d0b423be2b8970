namespace AnnRuntime;

/// <summary>What search projections learn.</summary>
public enum TrainingObjective
{
    /// <summary>
    /// The attention, averaged over heads, by directions of search keys; a query counts by the attention that its search
    /// can lose. What the embedded model was trained with.
    /// </summary>
    Direction,

    /// <summary>
    /// As published: InfoNCE over the 16 best cells on cosines, and KL on inner products, against the largest attention
    /// over heads, every query the same.
    /// </summary>
    Published,
}
