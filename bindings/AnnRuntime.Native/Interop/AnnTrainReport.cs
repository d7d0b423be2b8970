using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>What a window of training did. Mirrors <c>ann_train_report</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AnnTrainReport
{
    public uint StructSize;
    public int NUpdates;
    public long Step;
    public double LearningRate;
    public double Loss;
}
