using System.Runtime.InteropServices;
using System.Text;

namespace AnnRuntime.Native;

/// <summary>How a context is created. Mirrors <c>ann_context_params</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnContextParams
{
    public const int TypeBytes = 16;

    public uint StructSize;
    public uint NCtx;
    public uint NBatch;
    public uint NUbatch;
    public uint NSeqMax;
    public int NThreads;
    public int NThreadsBatch;
    public int FlashAttention;
    public int KvUnified;
    public int OffloadKqv;
    public int Embeddings;
    public int CheckMemory;
    public fixed byte TypeK[TypeBytes];
    public fixed byte TypeV[TypeBytes];
    public fixed byte TypeSearch[TypeBytes];
    public AnnSearchParams Search;
    public int Pooling;
    public int SearchMemory;

    /// <summary>The library's defaults.</summary>
    public static AnnContextParams Default()
    {
        NativeLibraryLoader.EnsureLoaded();
        var value = new AnnContextParams { StructSize = (uint)sizeof(AnnContextParams) };
        NativeMethods.ContextParamsDefault(ref value);
        return value;
    }

    /// <summary>Sets the three cache types by ggml's names.</summary>
    public void SetTypes(string k, string v, string search)
    {
        fixed (byte* typeK = TypeK, typeV = TypeV, typeSearch = TypeSearch)
        {
            Write(k, typeK);
            Write(v, typeV);
            Write(search, typeSearch);
        }
    }

    private static void Write(string name, byte* target)
    {
        var span = new Span<byte>(target, TypeBytes);
        span.Clear();
        _ = Encoding.ASCII.GetBytes(name, span[..^1]);
    }
}
