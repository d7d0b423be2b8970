using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace AnnRuntime.Gguf;

/// <summary>One metadata value, kept as the bytes of the file so that writing it again changes nothing.</summary>
/// <remarks>Immutable. Two values are equal when type and bytes are. Decoding happens in the accessors.</remarks>
public sealed class GgufValue : IEquatable<GgufValue>
{
    /// <summary>Bytes in front of an array's elements: u32 element type, u64 count.</summary>
    internal const int ArrayHeaderBytes = 12;

    internal GgufValue(GgufValueType type, ReadOnlyMemory<byte> encoded)
    {
        Type = type;
        Encoded = encoded;
    }

    /// <summary>Type of the value.</summary>
    public GgufValueType Type { get; }

    /// <summary>Type of an array's elements; null for anything else.</summary>
    public GgufValueType? ElementType =>
        Type == GgufValueType.Array ? (GgufValueType)BinaryPrimitives.ReadUInt32LittleEndian(Encoded.Span) : null;

    /// <summary>Elements of an array; 1 for anything else.</summary>
    public long Count =>
        Type == GgufValueType.Array ? BinaryPrimitives.ReadInt64LittleEndian(Encoded.Span[4..]) : 1;

    /// <summary>The value as it stands in a file, without its type.</summary>
    internal ReadOnlyMemory<byte> Encoded { get; }

    /// <summary>A u8, i8, u16, i16, u32, i32, u64, i64, f32 or f64, by the type of the argument.</summary>
    /// <exception cref="NotSupportedException">Another number type.</exception>
    public static GgufValue From<T>(T number)
        where T : unmanaged, INumber<T> => new(TypeOf<T>(), Bytes<T>([number]).ToArray());

    /// <summary>A boolean.</summary>
    public static GgufValue From(bool value) => new(GgufValueType.Boolean, new[] { value ? (byte)1 : (byte)0 });

    /// <summary>A string.</summary>
    /// <exception cref="ArgumentException">The text has unpaired surrogates.</exception>
    public static GgufValue From(string text)
    {
        byte[] encoded = new byte[8 + ByteCursor.StrictUtf8.GetByteCount(text)];
        BinaryPrimitives.WriteInt64LittleEndian(encoded, encoded.Length - 8);
        _ = ByteCursor.StrictUtf8.GetBytes(text, encoded.AsSpan(8));
        return new(GgufValueType.String, encoded);
    }

    /// <summary>An array of numbers of one type.</summary>
    /// <exception cref="NotSupportedException">A type that <see cref="From{T}(T)"/> does not take.</exception>
    public static GgufValue FromArray<T>(ReadOnlySpan<T> numbers)
        where T : unmanaged, INumber<T> => Array(TypeOf<T>(), numbers.Length, Bytes(numbers));

    /// <summary>An array of booleans.</summary>
    public static GgufValue FromArray(ReadOnlySpan<bool> values) =>
        Array(GgufValueType.Boolean, values.Length, MemoryMarshal.AsBytes(values));

    /// <summary>An array of strings.</summary>
    /// <exception cref="ArgumentException">A text has unpaired surrogates.</exception>
    public static GgufValue FromArray(IReadOnlyList<string> texts)
    {
        using MemoryStream elements = new();
        foreach (string text in texts)
        {
            elements.Write(From(text).Encoded.Span);
        }

        return Array(GgufValueType.String, texts.Count, elements.GetBuffer().AsSpan(0, (int)elements.Length));
    }

    /// <summary>An array of arrays; llama.cpp refuses files that hold one.</summary>
    /// <exception cref="ArgumentException">An element is not an array.</exception>
    public static GgufValue FromArray(IReadOnlyList<GgufValue> arrays)
    {
        using MemoryStream elements = new();
        foreach (GgufValue array in arrays)
        {
            if (array.Type != GgufValueType.Array)
            {
                throw new ArgumentException(
                    $"An element is {array.Type}; expected {GgufValueType.Array}.", nameof(arrays));
            }

            elements.Write(array.Encoded.Span);
        }

        return Array(GgufValueType.Array, arrays.Count, elements.GetBuffer().AsSpan(0, (int)elements.Length));
    }

    /// <summary>The number, when the value is an integer of any width that fits.</summary>
    public bool TryGetInteger(out long value)
    {
        value = 0;
        ReadOnlySpan<byte> e = Encoded.Span;
        if (Type == GgufValueType.Array || !TryReadInteger(Type, e, out Int128 wide) || wide > long.MaxValue)
        {
            return false;
        }

        value = (long)wide;
        return true;
    }

    /// <summary>The number, when the value is f32 or f64.</summary>
    public bool TryGetFloat(out double value)
    {
        value = Type switch
        {
            GgufValueType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(Encoded.Span),
            GgufValueType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(Encoded.Span),
            _ => 0,
        };
        return Type is GgufValueType.Float32 or GgufValueType.Float64;
    }

    /// <summary>The truth value, when the value is a boolean.</summary>
    public bool TryGetBoolean(out bool value)
    {
        value = Type == GgufValueType.Boolean && Encoded.Span[0] != 0;
        return Type == GgufValueType.Boolean;
    }

    /// <summary>The text, when the value is a string; invalid UTF-8 becomes U+FFFD.</summary>
    public bool TryGetString(out string value)
    {
        value = Type == GgufValueType.String ? Encoding.UTF8.GetString(Encoded.Span[8..]) : "";
        return Type == GgufValueType.String;
    }

    /// <summary>The numbers, when the value is an array of integers of any width that fit.</summary>
    public bool TryGetIntegers(out long[] values)
    {
        values = [];
        if (ElementType is not { } type || SizeOf(type) is not (> 0 and var size))
        {
            return false;
        }

        long[] result = new long[Count];
        ReadOnlySpan<byte> e = Encoded.Span[ArrayHeaderBytes..];
        for (int i = 0; i < result.Length; i++)
        {
            if (!TryReadInteger(type, e[(i * size)..], out Int128 wide) || wide > long.MaxValue)
            {
                return false;
            }

            result[i] = (long)wide;
        }

        values = result;
        return true;
    }

    /// <summary>The texts, when the value is an array of strings; invalid UTF-8 becomes U+FFFD.</summary>
    public bool TryGetStrings(out string[] values)
    {
        values = [];
        if (ElementType != GgufValueType.String)
        {
            return false;
        }

        values = new string[Count];
        ReadOnlySpan<byte> e = Encoded.Span[ArrayHeaderBytes..];
        for (int i = 0; i < values.Length; i++)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(e);
            values[i] = Encoding.UTF8.GetString(e.Slice(8, length));
            e = e[(8 + length)..];
        }

        return true;
    }

    /// <inheritdoc/>
    public bool Equals(GgufValue? other) =>
        other is not null && Type == other.Type && Encoded.Span.SequenceEqual(other.Encoded.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as GgufValue);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(Type);
        hash.AddBytes(Encoded.Span);
        return hash.ToHashCode();
    }

    /// <summary>The value for people: text as it is, arrays as type and count.</summary>
    public override string ToString() => this switch
    {
        _ when TryGetString(out string text) => text,
        _ when TryGetBoolean(out bool truth) => truth ? "true" : "false",
        _ when TryGetFloat(out double real) && Type == GgufValueType.Float32 =>
            ((float)real).ToString(CultureInfo.InvariantCulture),
        _ when TryGetFloat(out double real) => real.ToString(CultureInfo.InvariantCulture),
        _ when TryReadInteger(Type, Encoded.Span, out Int128 wide) => wide.ToString(CultureInfo.InvariantCulture),
        _ => $"{ElementType}[{Count}]",
    };

    /// <summary>Bytes of a value of fixed size; 0 for strings and arrays.</summary>
    internal static int SizeOf(GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Boolean => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        GgufValueType.UInt64 or GgufValueType.Int64 or GgufValueType.Float64 => 8,
        _ => 0,
    };

    private static bool TryReadInteger(GgufValueType type, ReadOnlySpan<byte> e, out Int128 value)
    {
        (bool ok, value) = type switch
        {
            GgufValueType.UInt8 => (true, (Int128)e[0]),
            GgufValueType.Int8 => (true, (sbyte)e[0]),
            GgufValueType.UInt16 => (true, BinaryPrimitives.ReadUInt16LittleEndian(e)),
            GgufValueType.Int16 => (true, BinaryPrimitives.ReadInt16LittleEndian(e)),
            GgufValueType.UInt32 => (true, BinaryPrimitives.ReadUInt32LittleEndian(e)),
            GgufValueType.Int32 => (true, BinaryPrimitives.ReadInt32LittleEndian(e)),
            GgufValueType.UInt64 => (true, BinaryPrimitives.ReadUInt64LittleEndian(e)),
            GgufValueType.Int64 => (true, BinaryPrimitives.ReadInt64LittleEndian(e)),
            _ => (false, 0),
        };
        return ok;
    }

    private static GgufValueType TypeOf<T>() => default(T) switch
    {
        byte => GgufValueType.UInt8,
        sbyte => GgufValueType.Int8,
        ushort => GgufValueType.UInt16,
        short => GgufValueType.Int16,
        uint => GgufValueType.UInt32,
        int => GgufValueType.Int32,
        float => GgufValueType.Float32,
        ulong => GgufValueType.UInt64,
        long => GgufValueType.Int64,
        double => GgufValueType.Float64,
        _ => throw new NotSupportedException($"GGUF has no value type for {typeof(T)}."),
    };

    private static ReadOnlySpan<byte> Bytes<T>(ReadOnlySpan<T> numbers)
        where T : unmanaged
    {
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(numbers);
        return BitConverter.IsLittleEndian ? bytes : throw new PlatformNotSupportedException("Big-endian machines.");
    }

    private static GgufValue Array(GgufValueType elementType, long count, ReadOnlySpan<byte> elements)
    {
        byte[] encoded = new byte[ArrayHeaderBytes + elements.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(encoded, (uint)elementType);
        BinaryPrimitives.WriteInt64LittleEndian(encoded.AsSpan(4), count);
        elements.CopyTo(encoded.AsSpan(ArrayHeaderBytes));
        return new(GgufValueType.Array, encoded);
    }
}
