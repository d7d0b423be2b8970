namespace AnnRuntime;

/// <summary>How the cells are chosen that a query attends to.</summary>
public enum SearchMode
{
    /// <summary>The K/V cache and the attention of unpatched llama.cpp; no search keys. Fixed when a context is created.</summary>
    Off = 0,

    /// <summary>Search keys are kept, attention is full. May be changed to <see cref="Exact"/> at run time.</summary>
    Dense = 1,

    /// <summary>The top-k cells by exact search over all visible cells.</summary>
    Exact = 2,

    /// <summary>
    /// The top-k cells by an index (HNSW), which is approximate: generated tokens search the index, the tokens of a prompt
    /// search exactly. Cells enter the index while the context is idle. Search keys in host memory only
    /// (<see cref="ContextOptions.SearchMemory"/>).
    /// </summary>
    Hnsw = 3,

    /// <summary>
    /// Hnsw from the depth on where it is faster than exact search on this machine (<see cref="IndexCalibration"/>), exact
    /// below it and where search keys lie on a GPU.
    /// </summary>
    Auto = 4,
}
