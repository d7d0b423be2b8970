using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>How a model is loaded. Mirrors <c>ann_model_params</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnModelParams
{
    public uint StructSize;
    public int NGpuLayers;
    public int MainGpu;
    public int SplitMode;
    public int UseMmap;
    public int UseMlock;
    public int CheckTensors;
    public int VocabOnly;
    public delegate* unmanaged<float, void*, int> Progress;
    public void* ProgressUserData;

    /// <summary>The library's defaults.</summary>
    public static AnnModelParams Default()
    {
        NativeLibraryLoader.EnsureLoaded();
        var value = new AnnModelParams { StructSize = (uint)sizeof(AnnModelParams) };
        NativeMethods.ModelParamsDefault(ref value);
        return value;
    }
}
