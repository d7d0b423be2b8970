namespace AnnRuntime;

/// <summary>How the embeddings of a sequence's tokens become one. Mirrors <c>ann_pooling</c>.</summary>
public enum Pooling
{
    /// <summary>Not at all: each token has its own.</summary>
    None = 0,

    /// <summary>Their mean.</summary>
    Mean = 1,

    /// <summary>The first token's.</summary>
    Cls = 2,

    /// <summary>The last token's.</summary>
    Last = 3,
}
