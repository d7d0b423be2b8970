namespace AnnRuntime;

/// <summary>A device that can compute.</summary>
/// <param name="Name">Such as CPU or CUDA0.</param>
/// <param name="Description">Its maker's name.</param>
/// <param name="Type">Such as cpu or gpu.</param>
/// <param name="MemoryFreeBytes">Free memory in bytes.</param>
/// <param name="MemoryTotalBytes">Memory in bytes.</param>
public sealed record DeviceInfo(
    string Name, string Description, string Type, long MemoryFreeBytes, long MemoryTotalBytes);
