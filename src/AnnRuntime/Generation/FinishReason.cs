namespace AnnRuntime;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>The model ended it: end of sequence or end of turn.</summary>
    EndOfGeneration,

    /// <summary>A stop string came.</summary>
    StopString,

    /// <summary>The greatest number of tokens was reached.</summary>
    MaxTokens,

    /// <summary>The context has no more cells.</summary>
    ContextFull,

    /// <summary>It was cancelled.</summary>
    Cancelled,

    /// <summary>It failed; the enumeration has thrown the reason.</summary>
    Failed,
}
