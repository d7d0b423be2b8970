using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>What one decode computes. Mirrors <c>ann_batch</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnBatch
{
    public uint StructSize;
    public uint NTokens;
    public int* Tokens;
    public int* Positions;
    public int* Sequences;
    public sbyte* Outputs;
}
