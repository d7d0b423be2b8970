namespace AnnRuntime.Native;

/// <summary>Decode and what it leaves.</summary>
internal sealed unsafe partial class ContextHandle
{
    /// <summary>Runs a batch. Empty positions, sequences or outputs take the library's defaults.</summary>
    public void Decode(
        ReadOnlySpan<int> tokens, ReadOnlySpan<int> positions, ReadOnlySpan<int> sequences, ReadOnlySpan<sbyte> outputs,
        CancellationToken cancellationToken)
    {
        AnnError error = AnnError.New();
        AnnStatus status;
        using (cancellationToken.UnsafeRegister(static context => ((ContextHandle)context!).Abort(), this))
        {
            cancellationToken.ThrowIfCancellationRequested();
            fixed (int* token = tokens, position = positions, sequence = sequences)
            fixed (sbyte* output = outputs)
            {
                var batch = new AnnBatch
                {
                    StructSize = (uint)sizeof(AnnBatch),
                    NTokens = (uint)tokens.Length,
                    Tokens = token,
                    Positions = position,
                    Sequences = sequence,
                    Outputs = output,
                };
                status = NativeMethods.ContextDecode(this, ref batch, ref error);
            }
        }

        NativeCall.ThrowIfFailed(status, in error, cancellationToken);
    }

    /// <summary>Stops a running decode. Any thread; nothing happens on a closed handle.</summary>
    public void Abort()
    {
        try
        {
            NativeMethods.ContextAbort(this);
        }
        catch (ObjectDisposedException)
        {
            // nothing runs in a closed context
        }
    }

    /// <summary>Logits of one output, valid until the next decode.</summary>
    public ReadOnlySpan<float> GetLogits(int index)
    {
        float* values = null;
        nuint count = 0;
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetLogits(this, index, &values, &count, ref error), in error);
        return new ReadOnlySpan<float>(values, checked((int)count));
    }

    /// <summary>Embedding of one output, valid until the next decode.</summary>
    public ReadOnlySpan<float> GetEmbeddings(int index)
    {
        float* values = null;
        nuint count = 0;
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetEmbeddings(this, index, &values, &count, ref error), in error);
        return new ReadOnlySpan<float>(values, checked((int)count));
    }
}
