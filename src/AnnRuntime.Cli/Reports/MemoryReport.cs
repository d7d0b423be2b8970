namespace AnnRuntime.Cli;

/// <summary>Memory of a context in bytes.</summary>
internal sealed record MemoryReport(
    int Cells, long KBytes, long VBytes, long SearchBytes, long ComputeBytes, long ModelBytes, long TotalBytes)
{
    public static MemoryReport From(MemoryEstimate memory) => new(
        memory.Cells, memory.KeyBytes, memory.ValueBytes, memory.SearchKeyBytes, memory.ComputeBytes, memory.ModelBytes,
        memory.TotalBytes);
}
