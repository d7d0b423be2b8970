using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Mirrors <c>ann_captured</c>: what attention of one layer gets in one ubatch.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnCaptured
{
    public uint StructSize;
    public int Layer;
    public int NTokens;
    public int NEmbd;
    public int NHead;
    public int NHeadKv;
    public int NEmbdHead;
    public float KqScale;
    public float Softcap;
    public int Reserved;
    public float* H;
    public float* Q;
    public float* K;
}
