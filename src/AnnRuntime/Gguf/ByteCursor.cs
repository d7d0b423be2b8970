using System.Buffers.Binary;
using System.Text;

namespace AnnRuntime.Gguf;

/// <summary>
/// Reads a source from front to back; every length is checked against what is left before it is used.
/// </summary>
internal sealed class ByteCursor(ByteSource source)
{
    private const int BufferBytes = 64 * 1024;

    /// <summary>UTF-8 that refuses invalid sequences instead of replacing them.</summary>
    public static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    private readonly byte[] _buffer = new byte[BufferBytes];
    private long _bufferStart;
    private int _bufferLength;

    /// <summary>Next byte to read, from the start of the source.</summary>
    public long Position { get; private set; }

    /// <summary>Bytes between <see cref="Position"/> and the end.</summary>
    public long Remaining => source.Length - Position;

    /// <summary>Reads one byte.</summary>
    public byte ReadByte(string what) => Take(1, what)[0];

    /// <summary>Reads a little-endian u32.</summary>
    public uint ReadUInt32(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Take(4, what));

    /// <summary>Reads a little-endian u64.</summary>
    public ulong ReadUInt64(string what) => BinaryPrimitives.ReadUInt64LittleEndian(Take(8, what));

    /// <summary>Reads a u64 count of items that take at least <paramref name="minimumBytes"/> each.</summary>
    /// <exception cref="TensorFileException">More items than the rest of the file can hold.</exception>
    public long ReadCount(string what, long minimumBytes)
    {
        long at = Position;
        ulong count = ReadUInt64(what);
        if (count > (ulong)(Remaining / minimumBytes))
        {
            throw Fail(
                at, $"{what} is {count}, but the {Remaining} bytes left hold at most {Remaining / minimumBytes}");
        }

        return (long)count;
    }

    /// <summary>Reads a u64 length and that many bytes of valid UTF-8.</summary>
    public string ReadString(string what, int maximumBytes)
    {
        long at = Position;
        long length = ReadCount($"the length of {what}", 1);
        if (length > maximumBytes)
        {
            throw Fail(at, $"{what} is {length} bytes long; expected at most {maximumBytes}");
        }

        try
        {
            return StrictUtf8.GetString(ReadBytes(length, what));
        }
        catch (DecoderFallbackException e)
        {
            throw new TensorFileException(source.Name, at, $"{what} is not valid UTF-8", e);
        }
    }

    /// <summary>Reads bytes into a new array; the length is checked before the array is made.</summary>
    public byte[] ReadBytes(long length, string what)
    {
        Require(length, what);
        if (length > Array.MaxLength)
        {
            throw Fail(Position, $"{what} is {length} bytes long; expected at most {Array.MaxLength}");
        }

        byte[] bytes = new byte[length];
        source.ReadExactly(bytes, Position);
        Position += length;
        return bytes;
    }

    /// <summary>Moves forward over bytes that must exist.</summary>
    public void Skip(long length, string what)
    {
        Require(length, what);
        Position += length;
    }

    /// <summary>Moves back to a place that was read before.</summary>
    public void Rewind(long position)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        Position = position;
    }

    /// <summary>The exception for a place in this source.</summary>
    public TensorFileException Fail(long offset, string problem) => new(source.Name, offset, problem);

    private void Require(long length, string what)
    {
        if (length > Remaining)
        {
            throw Fail(Position, $"{what} needs {length} bytes, but the file ends at {source.Length}");
        }
    }

    private ReadOnlySpan<byte> Take(int length, string what)
    {
        Require(length, what);
        if (Position < _bufferStart || Position + length > _bufferStart + _bufferLength)
        {
            _bufferStart = Position;
            _bufferLength = (int)Math.Min(BufferBytes, Remaining);
            source.ReadExactly(_buffer.AsSpan(0, _bufferLength), Position);
        }

        ReadOnlySpan<byte> span = _buffer.AsSpan((int)(Position - _bufferStart), length);
        Position += length;
        return span;
    }
}
