namespace AnnRuntime;

/// <summary>What a context measures.</summary>
[Flags]
public enum StatisticsKinds
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Time of search, attention and the rest. Every node runs alone, so the whole is slower.</summary>
    Time = 1,

    /// <summary>Attention mass and teacher recall of the candidates, against full attention of the same query.</summary>
    Mass = 2,

    /// <summary>Recall of the index against exact search of the same query.</summary>
    Index = 4,
}
