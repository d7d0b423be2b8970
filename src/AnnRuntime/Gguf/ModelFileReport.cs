namespace AnnRuntime.Gguf;

/// <summary>What was written by a merge, a split or a synthesis.</summary>
/// <param name="Path">File that was written.</param>
/// <param name="Architecture">Architecture of the model.</param>
/// <param name="LayerCount">Layers of the model.</param>
/// <param name="SearchedLayers">Layers with projections, ascending.</param>
/// <param name="SearchLength">Elements of a search vector; 0 without searched layers.</param>
/// <param name="Settings">What the file says about the search.</param>
/// <param name="TensorCount">Tensors in the file.</param>
/// <param name="ByteCount">Size of the file in bytes.</param>
public sealed record ModelFileReport(
    string Path,
    string Architecture,
    int LayerCount,
    IReadOnlyList<int> SearchedLayers,
    int SearchLength,
    AnnSettings Settings,
    int TensorCount,
    long ByteCount);
