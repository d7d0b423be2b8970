namespace AnnRuntime.Native;

/// <summary>Sequences and saved state.</summary>
internal sealed unsafe partial class ContextHandle
{
    public void Clear()
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextClear(this, ref error), in error);
    }

    public void RemoveSequence(int sequence, int from, int to)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSeqRm(this, sequence, from, to, ref error), in error);
    }

    public void CopySequence(int source, int target, int from, int to)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSeqCp(this, source, target, from, to, ref error), in error);
    }

    public void KeepSequence(int sequence)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSeqKeep(this, sequence, ref error), in error);
    }

    public void ShiftSequence(int sequence, int from, int to, int delta)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSeqAdd(this, sequence, from, to, delta, ref error), in error);
    }

    public void DivideSequence(int sequence, int from, int to, int divisor)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSeqDiv(this, sequence, from, to, divisor, ref error), in error);
    }

    public (int First, int Last) GetSequenceRange(int sequence)
    {
        AnnError error = AnnError.New();
        AnnStatus status = NativeMethods.ContextSeqRange(this, sequence, out int first, out int last, ref error);
        NativeCall.ThrowIfFailed(status, in error);
        return (first, last);
    }

    /// <summary>State of one sequence, or of the whole context (-1).</summary>
    public byte[] GetState(int sequence)
    {
        byte[] state = [];
        while (true)
        {
            nuint written = 0;
            AnnError error = AnnError.New();
            AnnStatus status;
            fixed (byte* target = state)
            {
                status = NativeMethods.ContextStateGet(
                    this, sequence, target, (nuint)state.Length, &written, ref error);
            }

            bool asked = state.Length == 0 && written > 0 && status is AnnStatus.Ok or AnnStatus.BufferTooSmall;
            if (!asked || written <= (nuint)state.Length)
            {
                NativeCall.ThrowIfFailed(status, in error);
                Array.Resize(ref state, checked((int)written));
                return state;
            }

            state = new byte[CheckedLength(written)];
        }
    }

    /// <summary>Replaces one sequence, or the whole context (-1).</summary>
    public void SetState(int sequence, ReadOnlySpan<byte> state)
    {
        AnnError error = AnnError.New();
        fixed (byte* source = state)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.ContextStateSet(this, sequence, source, (nuint)state.Length, ref error), in error);
        }
    }

    /// <summary>Marks cells of sequence 0 as used with random contents.</summary>
    public void FillRandom(uint cells, ulong seed)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextFillRandom(this, cells, seed, ref error), in error);
    }

    private static int CheckedLength(nuint bytes) =>
        bytes <= (nuint)Array.MaxLength
            ? (int)bytes
            : throw new StateException($"The state has {bytes} bytes; one array holds at most {Array.MaxLength}.");
}
