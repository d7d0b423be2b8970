namespace AnnRuntime.Gguf;

/// <summary>Reads header, metadata and tensor table; checks every count and offset before it is used.</summary>
internal sealed class GgufParser(ByteSource source)
{
    public const uint Magic = 0x46554747; // "GGUF"
    public const uint Version = 3;
    public const int DefaultAlignment = 32;
    public const int MaximumAlignment = 1 << 20;
    public const int MaximumDimensions = 4;
    public const int MaximumTensorNameBytes = 63;
    public const int MaximumKeyBytes = 65535;
    public const string AlignmentKey = "general.alignment";

    // deeper nesting than any real file, shallow enough for recursion
    private const int MaximumNesting = 4;

    // a value is one array in memory; token lists of real models stay below 64 MiB
    private const long MaximumValueBytes = 1L << 30;

    private readonly ByteCursor _cursor = new(source);

    public GgufMetadata Metadata { get; } = new(source.Name);

    public List<GgufTensor> Tensors { get; } = [];

    public int Alignment { get; private set; } = DefaultAlignment;

    public long DataOffset { get; private set; }

    public void Parse()
    {
        (long tensorCount, long keyCount) = ReadHeader();
        for (long i = 0; i < keyCount; i++)
        {
            ReadPair(i);
        }

        Alignment = ReadAlignment();
        HashSet<string> names = new(StringComparer.Ordinal);
        for (long i = 0; i < tensorCount; i++)
        {
            Tensors.Add(ReadTensor(i, names));
        }

        DataOffset = AlignUp(_cursor.Position, Alignment);
        PlaceTensors();
    }

    public static long AlignUp(long value, int alignment) => checked(value + alignment - 1) & -alignment;

    private (long Tensors, long Keys) ReadHeader()
    {
        uint magic = _cursor.ReadUInt32("the magic");
        if (magic != Magic)
        {
            throw _cursor.Fail(0, $"the magic is 0x{magic:x8}; expected 0x{Magic:x8}, \"GGUF\"");
        }

        uint version = _cursor.ReadUInt32("the version");
        if (version is not (2 or 3))
        {
            string hint = (version & 0xffff) == 0 ? "a big-endian file" : "expected 2 or 3";
            throw _cursor.Fail(4, $"the GGUF version is {version}; {hint}");
        }

        // a tensor takes at least name length, name, dimension count, type and offset; a pair key length, key, type and
        // value
        long tensors = _cursor.ReadCount("the tensor count", 8 + 1 + 4 + 4 + 8);
        long keys = _cursor.ReadCount("the key count", 8 + 1 + 4 + 1);
        return (tensors, keys);
    }

    private void ReadPair(long index)
    {
        long at = _cursor.Position;
        string key = _cursor.ReadString($"key {index}", MaximumKeyBytes);
        if (key.Length == 0)
        {
            throw _cursor.Fail(at, $"key {index} is empty");
        }

        if (Metadata.Contains(key))
        {
            throw _cursor.Fail(at, $"key {key} stands in the file twice");
        }

        GgufValueType type = ReadValueType(key);
        long start = _cursor.Position;
        SkipValue(type, key, 0);
        long length = _cursor.Position - start;
        if (length > MaximumValueBytes)
        {
            throw _cursor.Fail(
                start, $"the value of key {key} is {length} bytes long; expected at most {MaximumValueBytes}");
        }

        _cursor.Rewind(start);
        Metadata[key] = new GgufValue(type, _cursor.ReadBytes(length, $"the value of key {key}"));
    }

    private GgufValueType ReadValueType(string key)
    {
        long at = _cursor.Position;
        uint type = _cursor.ReadUInt32($"the type of key {key}");
        return type <= (uint)GgufValueType.Float64
            ? (GgufValueType)type
            : throw _cursor.Fail(at, $"the type of key {key} is {type}; expected 0..12");
    }

    private void SkipValue(GgufValueType type, string key, int nesting)
    {
        string what = $"the value of key {key}";
        switch (type)
        {
            case GgufValueType.String:
                _cursor.Skip(_cursor.ReadCount($"the length of key {key}", 1), what);
                break;
            case GgufValueType.Array:
                SkipArray(key, nesting + 1);
                break;
            case GgufValueType.Boolean:
                SkipBoolean(key);
                break;
            default:
                _cursor.Skip(GgufValue.SizeOf(type), what);
                break;
        }
    }

    private void SkipArray(string key, int nesting)
    {
        if (nesting > MaximumNesting)
        {
            throw _cursor.Fail(_cursor.Position, $"the arrays of key {key} nest deeper than {MaximumNesting}");
        }

        GgufValueType type = ReadValueType(key);
        int size = GgufValue.SizeOf(type);
        int minimum = type switch
        {
            GgufValueType.Array => GgufValue.ArrayHeaderBytes,
            GgufValueType.String => 8,
            _ => size,
        };
        long count = _cursor.ReadCount($"the element count of key {key}", minimum);
        if (size > 0 && type != GgufValueType.Boolean)
        {
            _cursor.Skip(count * size, $"the elements of key {key}");
            return;
        }

        for (long i = 0; i < count; i++)
        {
            SkipValue(type, key, nesting);
        }
    }

    private void SkipBoolean(string key)
    {
        byte value = _cursor.ReadByte($"the value of key {key}");
        if (value > 1)
        {
            throw _cursor.Fail(_cursor.Position - 1, $"key {key} holds the boolean {value}; expected 0 or 1");
        }
    }

    private int ReadAlignment()
    {
        if (!Metadata.TryGet(AlignmentKey, out GgufValue? value))
        {
            return DefaultAlignment;
        }

        return value.Type == GgufValueType.UInt32 && value.TryGetInteger(out long n) && n is > 0 and <= MaximumAlignment
            && long.IsPow2(n)
            ? (int)n
            : throw _cursor.Fail(
                -1,
                $"key {AlignmentKey} is {value.Type} {value}; expected a u32 power of two up to {MaximumAlignment}");
    }

    private GgufTensor ReadTensor(long index, HashSet<string> names)
    {
        long at = _cursor.Position;
        string name = _cursor.ReadString($"the name of tensor {index}", MaximumTensorNameBytes);
        if (name.Length == 0 || !names.Add(name))
        {
            throw _cursor.Fail(
                at,
                name.Length == 0 ? $"the name of tensor {index} is empty" : $"tensor {name} stands in the file twice");
        }

        at = _cursor.Position;
        uint dimensionCount = _cursor.ReadUInt32($"the dimension count of tensor {name}");
        if (dimensionCount > MaximumDimensions)
        {
            throw _cursor.Fail(
                at, $"tensor {name} has {dimensionCount} dimensions; expected at most {MaximumDimensions}");
        }

        long[] dimensions = new long[dimensionCount];
        for (int d = 0; d < dimensions.Length; d++)
        {
            ulong extent = _cursor.ReadUInt64($"dimension {d} of tensor {name}");
            dimensions[d] = extent <= long.MaxValue
                ? (long)extent
                : throw _cursor.Fail(
                    _cursor.Position - 8,
                    $"dimension {d} of tensor {name} is {extent}; expected at most {long.MaxValue}");
        }

        at = _cursor.Position;
        uint number = _cursor.ReadUInt32($"the type of tensor {name}");
        TensorType type = (TensorType)(int)Math.Min(number, int.MaxValue);
        if (!TensorTypes.IsKnown(type))
        {
            throw _cursor.Fail(at, $"tensor {name} has type {number}, which ggml 0.25 does not know");
        }

        long byteCount = CountBytes(name, dimensions, type, at);
        at = _cursor.Position;
        ulong offset = _cursor.ReadUInt64($"the offset of tensor {name}");
        if (offset > (ulong)source.Length || offset % (ulong)Alignment != 0)
        {
            throw _cursor.Fail(
                at, $"the offset of tensor {name} is {offset}; expected a multiple of {Alignment} inside the file "
                    + $"of {source.Length} bytes");
        }

        return new GgufTensor(name, dimensions, type, (long)offset, byteCount);
    }

    private long CountBytes(string name, long[] dimensions, TensorType type, long at)
    {
        long row = dimensions.Length > 0 ? dimensions[0] : 1;
        int block = TensorTypes.BlockElements(type);
        if (row % block != 0)
        {
            throw _cursor.Fail(
                at, $"tensor {name} has rows of {row} elements; expected whole {TensorTypes.NameOf(type)} blocks "
                    + $"of {block}");
        }

        try
        {
            return TensorTypes.ByteCount(type, dimensions.Aggregate(1L, (a, b) => checked(a * b)));
        }
        catch (OverflowException e)
        {
            throw new TensorFileException(
                source.Name,
                at,
                $"tensor {name} with dimensions {{{string.Join(", ", dimensions)}}} is larger than 2^63 - 1 bytes",
                e);
        }
    }

    // offsets in the table count from DataOffset; afterwards they count from the start of the file
    private void PlaceTensors()
    {
        for (int i = 0; i < Tensors.Count; i++)
        {
            GgufTensor tensor = Tensors[i];
            long left = source.Length - DataOffset - tensor.Offset;
            if (tensor.ByteCount > left)
            {
                throw _cursor.Fail(
                    DataOffset + tensor.Offset,
                    $"tensor {tensor.Name} needs {tensor.ByteCount} bytes, but the file ends at {source.Length}");
            }

            Tensors[i] = tensor with { Offset = DataOffset + tensor.Offset };
        }

        long end = 0;
        string previous = "";
        foreach (GgufTensor tensor in Tensors.Where(t => t.ByteCount > 0).OrderBy(t => t.Offset))
        {
            if (tensor.Offset < end)
            {
                throw _cursor.Fail(tensor.Offset, $"tensor {tensor.Name} lies inside tensor {previous}");
            }

            (end, previous) = (tensor.Offset + tensor.ByteCount, tensor.Name);
        }
    }
}
