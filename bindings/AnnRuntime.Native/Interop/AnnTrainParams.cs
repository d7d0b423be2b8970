using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>How search projections are trained. Mirrors <c>ann_train_params</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnTrainParams
{
    public uint StructSize;
    public int NEmbdSearch;
    public int NRot;
    public float RopeFreqBase;
    public int NWindow;
    public int NSink;
    public int Teacher;
    public int ByMass;
    public float Kl;
    public float KlUnit;
    public float Contrastive;
    public float Temperature;
    public int NPositives;
    public float LearningRate;
    public float LearningRateEnd;
    public float WeightDecay;
    public float Clip;
    public int NSteps;
    public int NWarmup;
    public int NCtx;
    public int NUpdates;
    public int NQueries;
    public int NThreads;
    public int NLayers;
    public uint Seed;
    public int Pack;
    public int Reserved;
    public int* Layers;
    public byte* Device;

    /// <summary>The library's defaults.</summary>
    public static AnnTrainParams Default()
    {
        NativeLibraryLoader.EnsureLoaded();
        var value = new AnnTrainParams { StructSize = (uint)sizeof(AnnTrainParams) };
        NativeMethods.TrainParamsDefault(ref value);
        return value;
    }
}
