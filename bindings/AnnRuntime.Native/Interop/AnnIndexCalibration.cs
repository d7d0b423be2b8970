using System.Runtime.InteropServices;
using System.Text;

namespace AnnRuntime.Native;

/// <summary>From which depth on the index is the faster search. Mirrors <c>ann_index_calibration</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnIndexCalibration
{
    public uint StructSize;
    public int NEmbdSearch;
    public int NThreads;
    public int TopK;
    public int EfSearch;
    public int MeasureAgain;
    public fixed byte TypeSearch[AnnContextParams.TypeBytes];
    public int MinContext;
    public int NCells;
    public double ExactNs;
    public double HnswNs;
    public double ExactNsPerCell;
    public long MeasuredAt;
    public int FromFile;
    public int IsKept;

    /// <summary>Sets the type of search keys by ggml's name.</summary>
    public void SetType(string name)
    {
        fixed (byte* type = TypeSearch)
        {
            _ = Encoding.ASCII.GetBytes(name, new Span<byte>(type, AnnContextParams.TypeBytes - 1));
        }
    }
}
