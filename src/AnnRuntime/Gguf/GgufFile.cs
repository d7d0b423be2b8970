namespace AnnRuntime.Gguf;

/// <summary>
/// A GGUF file, version 2 or 3, little endian: metadata and tensor table in memory, contents on the disk.
/// </summary>
/// <remarks>
/// Made for files from strangers: every count, length and offset is checked against the length of the file before
/// anything is allocated. Reading tensors is safe from several threads.
/// </remarks>
public sealed class GgufFile : IDisposable
{
    private readonly ByteSource _source;
    private readonly Dictionary<string, GgufTensor> _byName;

    private GgufFile(ByteSource source)
    {
        _source = source;
        GgufParser parser = new(source);
        parser.Parse();
        Metadata = parser.Metadata;
        Tensors = parser.Tensors;
        Alignment = parser.Alignment;
        DataOffset = parser.DataOffset;
        _byName = Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
    }

    /// <summary>Path, as the caller gave it.</summary>
    public string Path => _source.Name;

    /// <summary>Size of the file in bytes.</summary>
    public long Length => _source.Length;

    /// <summary>Key-value pairs in the order of the file.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>Tensors in the order of the file.</summary>
    public IReadOnlyList<GgufTensor> Tensors { get; }

    /// <summary>Alignment of tensor contents in bytes; 32 when the file does not say.</summary>
    public int Alignment { get; }

    /// <summary>Start of the tensor contents in bytes from the start of the file.</summary>
    public long DataOffset { get; }

    /// <summary>Opens a file and reads its metadata and tensor table.</summary>
    /// <exception cref="TensorFileException">
    /// There is no such file, or its content is not valid; the message says where.
    /// </exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static GgufFile Open(string path) => Read(ByteSource.Open(path));

    /// <summary>Reads a file that is already in memory; the bytes must not change afterwards.</summary>
    /// <param name="bytes">Whole content.</param>
    /// <param name="name">Name for messages; default "memory".</param>
    /// <exception cref="TensorFileException">The content is not valid; the message says where.</exception>
    public static GgufFile FromMemory(ReadOnlyMemory<byte> bytes, string name = "memory") =>
        Read(ByteSource.FromMemory(bytes, name));

    /// <summary>The tensor of a name, or null.</summary>
    public GgufTensor? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Reads a part of a tensor's content.</summary>
    /// <param name="tensor">A tensor of this file.</param>
    /// <param name="offset">Start in bytes from the tensor's start.</param>
    /// <param name="destination">Filled whole.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part does not lie inside the tensor.</exception>
    /// <exception cref="TensorFileException">The file became shorter since it was opened.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="ObjectDisposedException">The file was closed.</exception>
    public void ReadTensor(GgufTensor tensor, long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, tensor.ByteCount - offset);
        _source.ReadExactly(destination, tensor.Offset + offset);
    }

    /// <summary>Reads a tensor as single-precision numbers.</summary>
    /// <exception cref="TensorFileException">
    /// A type that <see cref="TensorConverter"/> cannot read, or too large.
    /// </exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public float[] ReadTensor(GgufTensor tensor)
    {
        if (!TensorConverter.CanRead(tensor.Type)
            || tensor.ElementCount > Array.MaxLength || tensor.ByteCount > Array.MaxLength)
        {
            throw new TensorFileException(
                Path, tensor.Offset, $"tensor {tensor.Name} is {TensorTypes.NameOf(tensor.Type)} {tensor.Shape}; "
                    + $"expected f32, f16, bf16, q8_0 or q4_0 of at most {Array.MaxLength} bytes");
        }

        byte[] content = new byte[tensor.ByteCount];
        ReadTensor(tensor, 0, content);
        float[] numbers = new float[tensor.ElementCount];
        TensorConverter.ToSingle(tensor.Type, content, numbers);
        return numbers;
    }

    /// <summary>Copies a tensor's content to a stream.</summary>
    /// <exception cref="TensorFileException">The file became shorter since it was opened.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public void CopyTensor(GgufTensor tensor, Stream destination)
    {
        byte[] buffer = new byte[Math.Min(tensor.ByteCount, 1 << 20)];
        for (long done = 0; done < tensor.ByteCount;)
        {
            Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.ByteCount - done));
            ReadTensor(tensor, done, part);
            destination.Write(part);
            done += part.Length;
        }
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _source.Dispose();

    private static GgufFile Read(ByteSource source)
    {
        try
        {
            return new GgufFile(source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }
}
