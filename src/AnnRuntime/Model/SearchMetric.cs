namespace AnnRuntime;

/// <summary>How search query and search key are compared.</summary>
public enum SearchMetric
{
    /// <summary>Cosine: keys are kept normalised.</summary>
    Cosine = 0,

    /// <summary>Inner product.</summary>
    InnerProduct = 1,
}
