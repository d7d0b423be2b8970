namespace AnnRuntime.Native;

/// <summary>Statistics of a context.</summary>
internal sealed unsafe partial class ContextHandle
{
    public void SetStatistics(int flags, int every)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSetStats(this, flags, every, ref error), in error);
    }

    public AnnContextStats GetStatistics()
    {
        var statistics = new AnnContextStats { StructSize = (uint)sizeof(AnnContextStats) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetStats(this, ref statistics, ref error), in error);
        return statistics;
    }

    public AnnLayerStats GetLayerStatistics(int layer)
    {
        var statistics = new AnnLayerStats { StructSize = (uint)sizeof(AnnLayerStats) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetLayerStats(this, layer, ref statistics, ref error), in error);
        return statistics;
    }

    public AnnIndexStats GetIndexStatistics(int layer)
    {
        var statistics = new AnnIndexStats { StructSize = (uint)sizeof(AnnIndexStats) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetIndexStats(this, layer, ref statistics, ref error), in error);
        return statistics;
    }

    /// <summary>Positions that a layer chose for the last token, ascending.</summary>
    public int[] GetCandidates(int layer)
    {
        int[] positions = new int[256];
        while (true)
        {
            nuint written = 0;
            AnnError error = AnnError.New();
            AnnStatus status;
            fixed (int* target = positions)
            {
                status = NativeMethods.ContextGetCandidates(
                    this, layer, target, (nuint)positions.Length, &written, ref error);
            }

            if (status == AnnStatus.BufferTooSmall && written > (nuint)positions.Length)
            {
                positions = new int[checked((int)written)];
                continue;
            }

            NativeCall.ThrowIfFailed(status, in error);
            Array.Resize(ref positions, checked((int)written));
            return positions;
        }
    }
}
