using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>Which cells a query attends to. Mirrors <c>ann_search_params</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnSearchParams
{
    public uint StructSize;
    public int Mode;
    public int TopK;
    public int NSink;
    public int NWindow;
    public int Prefill;
    public int MinContext;
    public int NLayers;
    public int* Layers;
    public int Selector;
    public int Seed;
    public int NFrozen;
    public int EfSearch;
    public int IndexM;
    public int IndexEfConstruction;
    public int IndexThreads;
    public int IndexMinContext;
    public int IndexEager;
    public ulong IndexMaxBytes;
    public int IndexInState;
    public int Reserved;

    /// <summary>The library's defaults.</summary>
    public static AnnSearchParams Default()
    {
        NativeLibraryLoader.EnsureLoaded();
        var value = new AnnSearchParams { StructSize = (uint)sizeof(AnnSearchParams) };
        NativeMethods.SearchParamsDefault(ref value);
        return value;
    }

    /// <summary>A copy of the layer list, empty where it stands for all layers.</summary>
    public readonly int[] CopyLayers() =>
        Layers == null || NLayers <= 0 ? [] : new ReadOnlySpan<int>(Layers, NLayers).ToArray();
}
