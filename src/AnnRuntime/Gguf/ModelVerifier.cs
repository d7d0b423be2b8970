namespace AnnRuntime.Gguf;

/// <summary>Compares a file that was just written with what it was meant to hold.</summary>
internal static class ModelVerifier
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Keys, values and their order are equal.</summary>
    /// <exception cref="IOException">They are not: the disk did not keep what was written.</exception>
    public static void RequireSameMetadata(GgufMetadata expected, GgufFile written)
    {
        if (!expected.SequenceEqual(written.Metadata))
        {
            throw new IOException($"{written.Path}: the metadata read back differs from what was written.");
        }
    }

    /// <summary>The tensors of a source are in the file, of the same type, dimensions and bytes.</summary>
    /// <exception cref="IOException">They are not: the disk did not keep what was written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static void RequireSameTensors(
        GgufFile source, IEnumerable<GgufTensor> tensors, GgufFile written, CancellationToken cancellationToken)
    {
        byte[] left = new byte[ChunkBytes];
        byte[] right = new byte[ChunkBytes];
        foreach (GgufTensor tensor in tensors)
        {
            GgufTensor? copy = written.Find(tensor.Name);
            if (copy is null || copy.Type != tensor.Type || !copy.Dimensions.SequenceEqual(tensor.Dimensions))
            {
                throw Differs(tensor.Name, written);
            }

            for (long at = 0; at < tensor.ByteCount; at += ChunkBytes)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int n = (int)Math.Min(ChunkBytes, tensor.ByteCount - at);
                source.ReadTensor(tensor, at, left.AsSpan(0, n));
                written.ReadTensor(copy, at, right.AsSpan(0, n));
                if (!left.AsSpan(0, n).SequenceEqual(right.AsSpan(0, n)))
                {
                    throw Differs(tensor.Name, written);
                }
            }
        }
    }

    /// <summary>A tensor of the file holds exactly these bytes.</summary>
    /// <exception cref="IOException">It does not: the disk did not keep what was written.</exception>
    public static void RequireContent(string name, ReadOnlySpan<byte> expected, GgufFile written)
    {
        GgufTensor? tensor = written.Find(name);
        if (tensor is null || tensor.ByteCount != expected.Length)
        {
            throw Differs(name, written);
        }

        byte[] content = new byte[expected.Length];
        written.ReadTensor(tensor, 0, content);
        if (!expected.SequenceEqual(content))
        {
            throw Differs(name, written);
        }
    }

    private static IOException Differs(string name, GgufFile written) =>
        new($"{written.Path}: tensor {name} read back differs from what was written.");
}
