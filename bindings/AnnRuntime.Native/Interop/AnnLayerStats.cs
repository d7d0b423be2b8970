using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Statistics of one layer. Mirrors <c>ann_layer_stats</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnLayerStats
{
    public uint StructSize;
    public int Layer;
    public int Searched;
    public int Reserved;
    public ulong NQuery;
    public ulong NDense;
    public ulong NVisible;
    public ulong NAttended;
    public ulong NMeasured;
    public double MassSum;
    public double RecallTeacherSum;
    public double RecallIndexSum;
    public ulong SearchNs;
    public ulong AttentionNs;
    public ulong NScored;
}
