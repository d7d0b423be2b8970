using System.Buffers.Binary;
using System.Text.Json;

namespace AnnRuntime.Gguf;

/// <summary>Writes small safetensors files, such as search projections.</summary>
public static class SafetensorsWriter
{
    /// <summary>Writes a whole file: 8 bytes of length, a JSON header padded to 8 bytes, the contents.</summary>
    /// <param name="destination">Written from its position; it need not be seekable.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>.</param>
    /// <param name="tensors">
    /// Name, shape (last dimension lies together), type and content of each tensor, in the order of the file.
    /// </param>
    /// <exception cref="ArgumentException">A type other than F32, F16 and BF16, or content of another size.</exception>
    /// <exception cref="IOException">The disk failed or is full.</exception>
    public static void Write(
        Stream destination,
        IReadOnlyDictionary<string, string> metadata,
        IReadOnlyList<(string Name, IReadOnlyList<long> Shape, TensorType Type, ReadOnlyMemory<byte> Content)> tensors)
    {
        using MemoryStream header = new();
        using (Utf8JsonWriter json = new(header))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            foreach ((string key, string value) in metadata)
            {
                json.WriteString(key, value);
            }

            json.WriteEndObject();
            long offset = 0;
            foreach ((string name, IReadOnlyList<long> shape, TensorType type, ReadOnlyMemory<byte> content) in tensors)
            {
                WriteEntry(json, name, shape, type, content.Length, offset);
                offset += content.Length;
            }

            json.WriteEndObject();
        }

        while (header.Length % 8 != 0)
        {
            header.WriteByte((byte)' ');
        }

        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        destination.Write(length);
        destination.Write(header.GetBuffer().AsSpan(0, (int)header.Length));
        foreach ((_, _, _, ReadOnlyMemory<byte> content) in tensors)
        {
            destination.Write(content.Span);
        }
    }

    private static void WriteEntry(
        Utf8JsonWriter json, string name, IReadOnlyList<long> shape, TensorType type, long byteCount, long offset)
    {
        string dtype = type switch
        {
            TensorType.F32 => "F32",
            TensorType.F16 => "F16",
            TensorType.BF16 => "BF16",
            _ => throw new ArgumentException($"Tensor {name} is {type}; expected F32, F16 or BF16."),
        };
        long expected = TensorTypes.ByteCount(type, shape.Aggregate(1L, (a, b) => checked(a * b)));
        if (byteCount != expected)
        {
            throw new ArgumentException($"Tensor {name} has {byteCount} bytes; expected {expected}.");
        }

        json.WriteStartObject(name);
        json.WriteString("dtype", dtype);
        json.WriteStartArray("shape");
        foreach (long extent in shape)
        {
            json.WriteNumberValue(extent);
        }

        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(offset);
        json.WriteNumberValue(offset + byteCount);
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
