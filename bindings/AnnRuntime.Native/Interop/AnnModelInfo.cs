using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Shape of a model. Mirrors <c>ann_model_info</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnModelInfo
{
    public uint StructSize;
    public int NLayer;
    public int NEmbd;
    public int NHead;
    public int NHeadKv;
    public int NEmbdHeadK;
    public int NEmbdHeadV;
    public int NVocab;
    public int NCtxTrain;
    public int NLayerSearch;
    public int NEmbdSearch;
    public int TopK;
    public int NSink;
    public int NWindow;
    public int Metric;
    public int NRotSearch;
    public float RopeFreqBaseSearch;
    public int CanShift;
    public ulong NParams;
    public ulong SizeBytes;
}
