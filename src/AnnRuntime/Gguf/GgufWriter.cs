using System.Buffers.Binary;
using System.Text;

namespace AnnRuntime.Gguf;

/// <summary>Writes GGUF version 3, little endian; tensor contents are streamed, never held whole.</summary>
/// <remarks>
/// Contents lie in the order of the tensors, each padded to <c>general.alignment</c> (32 when the key is absent).
/// </remarks>
public static class GgufWriter
{
    /// <summary>Writes a whole file to a stream.</summary>
    /// <param name="destination">Written from its position; it need not be seekable.</param>
    /// <param name="metadata">Pairs, in the order of the file.</param>
    /// <param name="tensors">Tensors, in the order of the file.</param>
    /// <param name="progress">Told the bytes written so far and in all, about once a mebibyte; default none.</param>
    /// <param name="cancellationToken">Ends the writing between two writes; what was written stays.</param>
    /// <exception cref="ArgumentException">
    /// A name, a shape or the alignment cannot be written, or a name stands twice.
    /// </exception>
    /// <exception cref="InvalidOperationException">A tensor's source wrote more or less than its content.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    /// <exception cref="IOException">The disk failed or is full.</exception>
    public static void Write(
        Stream destination,
        GgufMetadata metadata,
        IReadOnlyList<GgufTensorSource> tensors,
        IProgress<ByteProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        int alignment = AlignmentOf(metadata);
        byte[] header = BuildHeader(metadata, tensors, alignment);
        long total = GgufParser.AlignUp(header.Length, alignment)
            + tensors.Sum(t => GgufParser.AlignUp(t.ByteCount, alignment));
        MeteredStream meter = new(destination, total, progress, cancellationToken);
        meter.Write(header);
        Pad(meter, alignment);
        foreach (GgufTensorSource tensor in tensors)
        {
            long end = meter.Written + tensor.ByteCount;
            meter.Limit(end, tensor.Name);
            tensor.WriteContent(meter);
            if (meter.Written != end)
            {
                throw new InvalidOperationException(
                    $"Tensor {tensor.Name} is {tensor.ByteCount} bytes long, but its source wrote "
                        + $"{tensor.ByteCount - end + meter.Written}.");
            }

            meter.Limit(long.MaxValue, "");
            Pad(meter, alignment);
        }
    }

    private static void Pad(MeteredStream meter, int alignment)
    {
        byte[] zeros = new byte[GgufParser.AlignUp(meter.Written, alignment) - meter.Written];
        meter.Write(zeros);
    }

    private static int AlignmentOf(GgufMetadata metadata)
    {
        if (!metadata.TryGet(GgufParser.AlignmentKey, out GgufValue? value))
        {
            return GgufParser.DefaultAlignment;
        }

        return value.Type == GgufValueType.UInt32 && value.TryGetInteger(out long n)
            && n is > 0 and <= GgufParser.MaximumAlignment && long.IsPow2(n)
            ? (int)n
            : throw new ArgumentException(
                $"Key {GgufParser.AlignmentKey} is {value.Type} {value}; expected a u32 power of two up to "
                    + $"{GgufParser.MaximumAlignment}.",
                nameof(metadata));
    }

    private static byte[] BuildHeader(GgufMetadata metadata, IReadOnlyList<GgufTensorSource> tensors, int alignment)
    {
        using MemoryStream header = new();
        Put(header, GgufParser.Magic);
        Put(header, GgufParser.Version);
        Put(header, (ulong)tensors.Count);
        Put(header, (ulong)metadata.Count);
        foreach ((string key, GgufValue value) in metadata)
        {
            PutText(header, key, GgufParser.MaximumKeyBytes, "key");
            Put(header, (uint)value.Type);
            header.Write(value.Encoded.Span);
        }

        HashSet<string> names = new(StringComparer.Ordinal);
        long offset = 0;
        foreach (GgufTensorSource tensor in tensors)
        {
            if (!names.Add(tensor.Name))
            {
                throw new ArgumentException($"Tensor {tensor.Name} stands in the list twice.", nameof(tensors));
            }

            PutTensor(header, tensor, offset);
            offset += GgufParser.AlignUp(tensor.ByteCount, alignment);
        }

        return header.ToArray();
    }

    private static void PutTensor(MemoryStream header, GgufTensorSource tensor, long offset)
    {
        PutText(header, tensor.Name, GgufParser.MaximumTensorNameBytes, "tensor name");
        if (tensor.Dimensions.Count > GgufParser.MaximumDimensions || tensor.Dimensions.Any(d => d < 0))
        {
            throw new ArgumentException(
                $"Tensor {tensor.Name} has dimensions {{{string.Join(", ", tensor.Dimensions)}}}; expected at "
                    + $"most {GgufParser.MaximumDimensions}, none negative.");
        }

        Put(header, (uint)tensor.Dimensions.Count);
        foreach (long extent in tensor.Dimensions)
        {
            Put(header, (ulong)extent);
        }

        Put(header, (uint)tensor.Type);
        Put(header, (ulong)offset);
    }

    private static void PutText(MemoryStream header, string text, int maximumBytes, string what)
    {
        int length = Encoding.UTF8.GetByteCount(text);
        if (length == 0 || length > maximumBytes)
        {
            throw new ArgumentException($"The {what} '{text}' is {length} bytes long; expected 1 to {maximumBytes}.");
        }

        header.Write(GgufValue.From(text).Encoded.Span);
    }

    private static void Put(MemoryStream header, uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        header.Write(bytes);
    }

    private static void Put(MemoryStream header, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        header.Write(bytes);
    }
}
