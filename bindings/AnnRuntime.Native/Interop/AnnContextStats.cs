using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Statistics of a context. Mirrors <c>ann_context_stats</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnContextStats
{
    public uint StructSize;
    public int NLayer;
    public ulong NDecode;
    public ulong NTokens;
    public ulong DecodeNs;
    public ulong SearchNs;
    public ulong AttentionNs;
    public ulong OtherNs;
}
