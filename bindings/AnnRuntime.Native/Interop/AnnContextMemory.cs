using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Bytes of a context, part by part. Mirrors <c>ann_context_memory</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnContextMemory
{
    public uint StructSize;
    public uint NCtx;
    public ulong KBytes;
    public ulong VBytes;
    public ulong SearchBytes;
    public ulong ComputeBytes;
    public ulong ModelBytes;
    public ulong TotalBytes;
    public ulong AvailableBytes;
}
