using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>The index over the search keys of a layer. Mirrors <c>ann_index_stats</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnIndexStats
{
    public uint StructSize;
    public int Layer;
    public ulong NGraphs;
    public ulong NIndexed;
    public ulong NErased;
    public ulong NPending;
    public ulong NInserted;
    public ulong InsertNs;
    public ulong NSearched;
    public ulong NExact;
    public ulong NExpanded;
    public ulong NScored;
    public ulong SearchNs;
    public ulong Bytes;
    public ulong NMeasured;
    public double RecallIndexSum;
}
