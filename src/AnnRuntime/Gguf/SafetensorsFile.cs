using System.Text.Json;

namespace AnnRuntime.Gguf;

/// <summary>A safetensors file: header in memory, contents on the disk. Tensors are F32, F16 or BF16.</summary>
/// <remarks>
/// Made for files from strangers: header, shapes and offsets are checked before anything is allocated.
/// </remarks>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>Longest header in bytes, as in the reference implementation.</summary>
    public const int MaximumHeaderBytes = 100_000_000;

    private const int PrefixBytes = 8;

    private readonly ByteSource _source;

    private SafetensorsFile(ByteSource source)
    {
        _source = source;
        ByteCursor cursor = new(source);
        long length = cursor.ReadCount("the header length", 1);
        if (length > MaximumHeaderBytes)
        {
            throw Fail(0, $"the header is {length} bytes long; expected at most {MaximumHeaderBytes}");
        }

        ReadHeader(cursor.ReadBytes(length, "the header"));
    }

    /// <summary>Path, as the caller gave it.</summary>
    public string Path => _source.Name;

    /// <summary>The texts of <c>__metadata__</c>; empty when there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; private set; } = new Dictionary<string, string>();

    /// <summary>Tensors by name, in the order of the header.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors { get; private set; } =
        new Dictionary<string, SafetensorsTensor>();

    /// <summary>Opens a file and reads its header.</summary>
    /// <exception cref="TensorFileException">
    /// There is no such file, or its content is not valid; the message says what.
    /// </exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static SafetensorsFile Open(string path) => Read(ByteSource.Open(path));

    /// <summary>Reads a file that is already in memory; the bytes must not change afterwards.</summary>
    /// <param name="bytes">Whole content.</param>
    /// <param name="name">Name for messages; default "memory".</param>
    /// <exception cref="TensorFileException">The content is not valid; the message says what.</exception>
    public static SafetensorsFile FromMemory(ReadOnlyMemory<byte> bytes, string name = "memory") =>
        Read(ByteSource.FromMemory(bytes, name));

    /// <summary>Reads a tensor as single-precision numbers.</summary>
    /// <exception cref="TensorFileException">Larger than an array can be, or the file became shorter.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public float[] ReadTensor(SafetensorsTensor tensor)
    {
        if (tensor.ByteCount > Array.MaxLength)
        {
            throw Fail(
                tensor.Offset, $"tensor {tensor.Name} is {tensor.ByteCount} bytes long; expected at most "
                    + $"{Array.MaxLength}");
        }

        byte[] content = new byte[tensor.ByteCount];
        _source.ReadExactly(content, tensor.Offset);
        float[] numbers = new float[content.Length / TensorTypes.BlockBytes(tensor.Type)];
        TensorConverter.ToSingle(tensor.Type, content, numbers);
        return numbers;
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _source.Dispose();

    private static SafetensorsFile Read(ByteSource source)
    {
        try
        {
            return new SafetensorsFile(source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    private void ReadHeader(byte[] header)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(header, new JsonDocumentOptions { MaxDepth = 8 });
            ReadHeader(json.RootElement, PrefixBytes + header.Length);
        }
        catch (JsonException e)
        {
            throw new TensorFileException(Path, PrefixBytes, "the header is not valid JSON", e);
        }
        catch (InvalidOperationException e)
        {
            throw new TensorFileException(Path, PrefixBytes, "the header holds text that is not valid Unicode", e);
        }
    }

    private void ReadHeader(JsonElement root, long dataOffset)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Fail(PrefixBytes, $"the header is a JSON {root.ValueKind}; expected an object");
        }

        OrderedDictionary<string, SafetensorsTensor> tensors = new(StringComparer.Ordinal);
        foreach (JsonProperty entry in root.EnumerateObject())
        {
            if (entry.NameEquals("__metadata__"))
            {
                Metadata = ReadMetadata(entry.Value);
            }
            else if (!tensors.TryAdd(entry.Name, ReadTensorEntry(entry.Name, entry.Value, dataOffset)))
            {
                throw Fail(PrefixBytes, $"tensor {entry.Name} stands in the header twice");
            }
        }

        Tensors = tensors;
    }

    private Dictionary<string, string> ReadMetadata(JsonElement entry)
    {
        Dictionary<string, string> metadata = new(StringComparer.Ordinal);
        foreach (JsonProperty pair in entry.ValueKind == JsonValueKind.Object
            ? entry.EnumerateObject()
            : throw Fail(PrefixBytes, $"__metadata__ is a JSON {entry.ValueKind}; expected an object"))
        {
            metadata[pair.Name] = pair.Value.ValueKind == JsonValueKind.String
                ? pair.Value.GetString()!
                : throw Fail(
                    PrefixBytes, $"__metadata__ {pair.Name} is a JSON {pair.Value.ValueKind}; expected a string");
        }

        return metadata;
    }

    private SafetensorsTensor ReadTensorEntry(string name, JsonElement entry, long dataOffset)
    {
        if (entry.ValueKind != JsonValueKind.Object
            || !entry.TryGetProperty("dtype", out JsonElement dtype) || dtype.ValueKind != JsonValueKind.String)
        {
            throw Fail(PrefixBytes, $"tensor {name} has no dtype");
        }

        TensorType type = dtype.GetString() switch
        {
            "F32" => TensorType.F32,
            "F16" => TensorType.F16,
            "BF16" => TensorType.BF16,
            string other => throw Fail(PrefixBytes, $"tensor {name} has dtype {other}; expected F32, F16 or BF16"),
            null => throw Fail(PrefixBytes, $"tensor {name} has no dtype"),
        };
        long[] shape = ReadNumbers(name, entry, "shape");
        long[] range = ReadNumbers(name, entry, "data_offsets");
        if (range.Length != 2 || range[0] > range[1] || range[1] > _source.Length - dataOffset)
        {
            throw Fail(
                PrefixBytes, $"tensor {name} has data_offsets [{string.Join(", ", range)}]; expected start and "
                    + $"end inside the {_source.Length - dataOffset} bytes of data");
        }

        return IsSize(shape, range[1] - range[0], TensorTypes.BlockBytes(type))
            ? new SafetensorsTensor(name, shape, type, dataOffset + range[0], range[1] - range[0])
            : throw Fail(
                PrefixBytes, $"tensor {name} of shape [{string.Join(", ", shape)}] and dtype {dtype} has "
                    + $"{range[1] - range[0]} bytes, which is not its size");
    }

    // compared by division, so that no product can overflow
    private static bool IsSize(long[] shape, long byteCount, int elementBytes)
    {
        if (shape.Contains(0))
        {
            return byteCount == 0;
        }

        long left = byteCount / elementBytes;
        foreach (long extent in shape)
        {
            if (left % extent != 0)
            {
                return false;
            }

            left /= extent;
        }

        return left == 1 && byteCount % elementBytes == 0;
    }

    private long[] ReadNumbers(string name, JsonElement entry, string property)
    {
        if (!entry.TryGetProperty(property, out JsonElement list) || list.ValueKind != JsonValueKind.Array)
        {
            throw Fail(PrefixBytes, $"tensor {name} has no {property}");
        }

        List<long> numbers = [];
        foreach (JsonElement item in list.EnumerateArray())
        {
            numbers.Add(item.ValueKind == JsonValueKind.Number && item.TryGetInt64(out long n) && n >= 0
                ? n
                : throw Fail(PrefixBytes, $"tensor {name} has {item} in {property}; expected whole numbers from 0"));
        }

        return [.. numbers];
    }

    private TensorFileException Fail(long offset, string problem) => new(Path, offset, problem);
}
