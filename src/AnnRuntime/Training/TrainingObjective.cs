namespace AnnRuntime;

/// <summary>What search projections learn.</summary>
public enum TrainingObjective
{
    /// <summary>
    /// The attention, averaged over heads, by directions of search keys, with a tenth of InfoNCE on cosines; a query counts
    /// by the attention that its search can lose. The losses of the embedded model.
    /// </summary>
    Direction,

    /// <summary>
    /// As published: InfoNCE over the 16 best cells on cosines, and KL on inner products, against the largest attention
    /// over heads, every query the same.
    /// </summary>
    Published,
}
