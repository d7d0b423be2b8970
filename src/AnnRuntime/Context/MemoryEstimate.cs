using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Memory of a context, part by part, in bytes.</summary>
/// <param name="Cells">Cells after rounding.</param>
/// <param name="KeyBytes">K.</param>
/// <param name="ValueBytes">V.</param>
/// <param name="SearchKeyBytes">Search keys; 0 when search is off.</param>
/// <param name="ComputeBytes">Graph and output buffers; 0 in an estimate where unknown.</param>
/// <param name="ModelBytes">Weights, shared by all contexts of the model.</param>
/// <param name="TotalBytes">All of it.</param>
/// <param name="AvailableBytes">Free on the host when asked.</param>
public sealed record MemoryEstimate(
    int Cells,
    long KeyBytes,
    long ValueBytes,
    long SearchKeyBytes,
    long ComputeBytes,
    long ModelBytes,
    long TotalBytes,
    long AvailableBytes)
{
    /// <summary>K, V and search keys together.</summary>
    public long CacheBytes => KeyBytes + ValueBytes + SearchKeyBytes;

    internal static MemoryEstimate FromNative(in AnnContextMemory native) => new(
        checked((int)native.NCtx),
        checked((long)native.KBytes),
        checked((long)native.VBytes),
        checked((long)native.SearchBytes),
        checked((long)native.ComputeBytes),
        checked((long)native.ModelBytes),
        checked((long)native.TotalBytes),
        checked((long)native.AvailableBytes));
}
