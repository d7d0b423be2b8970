using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>A chain of samplers. Mirrors <c>ann_sampler_params</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnSamplerParams
{
    public uint StructSize;
    public uint Seed;
    public float Temperature;
    public int TopK;
    public float TopP;
    public float MinP;
    public float TypicalP;
    public float TopNSigma;
    public float XtcProbability;
    public float XtcThreshold;
    public int PenaltyLastN;
    public float PenaltyRepeat;
    public float PenaltyFrequency;
    public float PenaltyPresence;
    public float DryMultiplier;
    public float DryBase;
    public int DryAllowedLength;
    public int DryPenaltyLastN;
    public int NLogitBias;
    public int Reserved;
    public int* LogitBiasTokens;
    public float* LogitBiasValues;
    public byte* Grammar;
    public byte* GrammarPrefix;
    public byte** GrammarTriggerPatterns;
    public int* GrammarTriggerTokens;
    public int NGrammarTriggerPatterns;
    public int NGrammarTriggerTokens;

    /// <summary>The library's defaults.</summary>
    public static AnnSamplerParams Default()
    {
        NativeLibraryLoader.EnsureLoaded();
        var value = new AnnSamplerParams { StructSize = (uint)sizeof(AnnSamplerParams) };
        NativeMethods.SamplerParamsDefault(ref value);
        return value;
    }
}
