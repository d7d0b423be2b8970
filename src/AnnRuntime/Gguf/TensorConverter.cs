using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace AnnRuntime.Gguf;

/// <summary>
/// Converts between single precision and f32, f16, bf16, q8_0 and q4_0; bit for bit as ggml's reference.
/// </summary>
/// <remarks>
/// Source: ggml-quants.c, quantize_row_q8_0_ref and quantize_row_q4_0_ref. Contents are little endian.
/// </remarks>
public static class TensorConverter
{
    private const int BlockElements = 32;

    /// <summary>True for the types that can be converted.</summary>
    public static bool CanRead(TensorType type) =>
        type is TensorType.F32 or TensorType.F16 or TensorType.BF16 or TensorType.Q8_0 or TensorType.Q4_0;

    /// <summary>Decodes whole blocks.</summary>
    /// <param name="type">How <paramref name="content"/> is stored.</param>
    /// <param name="content">Exactly the bytes of the numbers.</param>
    /// <param name="numbers">Filled whole.</param>
    /// <exception cref="ArgumentException">The lengths do not belong together.</exception>
    /// <exception cref="NotSupportedException">A type outside <see cref="CanRead"/>.</exception>
    public static void ToSingle(TensorType type, ReadOnlySpan<byte> content, Span<float> numbers)
    {
        CheckLengths(type, content.Length, numbers.Length);
        switch (type)
        {
            case TensorType.F32:
                content.CopyTo(MemoryMarshal.AsBytes(numbers));
                break;
            case TensorType.F16:
                ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(content);
                for (int i = 0; i < numbers.Length; i++)
                {
                    numbers[i] = (float)halves[i];
                }

                break;
            case TensorType.BF16:
                ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(content);
                for (int i = 0; i < numbers.Length; i++)
                {
                    numbers[i] = BitConverter.UInt32BitsToSingle((uint)upper[i] << 16);
                }

                break;
            case TensorType.Q8_0:
                ForEachBlock(type, numbers.Length, content, numbers, DecodeQ8);
                break;
            default:
                ForEachBlock(type, numbers.Length, content, numbers, DecodeQ4);
                break;
        }
    }

    /// <summary>Encodes whole blocks, rounding to nearest.</summary>
    /// <param name="type">How <paramref name="content"/> is to be stored.</param>
    /// <param name="numbers">Numbers, whole blocks of the type.</param>
    /// <param name="content">Filled whole.</param>
    /// <exception cref="ArgumentException">The lengths do not belong together.</exception>
    /// <exception cref="NotSupportedException">A type outside <see cref="CanRead"/>.</exception>
    public static void FromSingle(TensorType type, ReadOnlySpan<float> numbers, Span<byte> content)
    {
        CheckLengths(type, content.Length, numbers.Length);
        switch (type)
        {
            case TensorType.F32:
                MemoryMarshal.AsBytes(numbers).CopyTo(content);
                break;
            case TensorType.F16:
                Span<Half> halves = MemoryMarshal.Cast<byte, Half>(content);
                for (int i = 0; i < numbers.Length; i++)
                {
                    halves[i] = (Half)numbers[i];
                }

                break;
            case TensorType.BF16:
                Span<ushort> upper = MemoryMarshal.Cast<byte, ushort>(content);
                for (int i = 0; i < numbers.Length; i++)
                {
                    upper[i] = RoundToBfloat16(numbers[i]);
                }

                break;
            default:
                int bytes = TensorTypes.BlockBytes(type);
                for (int i = 0; i < numbers.Length / BlockElements; i++)
                {
                    ReadOnlySpan<float> x = numbers.Slice(i * BlockElements, BlockElements);
                    Span<byte> block = content.Slice(i * bytes, bytes);
                    if (type == TensorType.Q8_0)
                    {
                        EncodeQ8(x, block);
                    }
                    else
                    {
                        EncodeQ4(x, block);
                    }
                }

                break;
        }
    }

    private delegate void BlockDecoder(ReadOnlySpan<byte> block, Span<float> numbers);

    private static void ForEachBlock(
        TensorType type, int count, ReadOnlySpan<byte> content, Span<float> numbers, BlockDecoder decode)
    {
        int bytes = TensorTypes.BlockBytes(type);
        for (int i = 0; i < count / BlockElements; i++)
        {
            decode(content.Slice(i * bytes, bytes), numbers.Slice(i * BlockElements, BlockElements));
        }
    }

    private static void DecodeQ8(ReadOnlySpan<byte> block, Span<float> numbers)
    {
        float scale = (float)BinaryPrimitives.ReadHalfLittleEndian(block);
        for (int j = 0; j < BlockElements; j++)
        {
            numbers[j] = (sbyte)block[2 + j] * scale;
        }
    }

    // element j is the low half of byte j, element j + 16 its high half
    private static void DecodeQ4(ReadOnlySpan<byte> block, Span<float> numbers)
    {
        float scale = (float)BinaryPrimitives.ReadHalfLittleEndian(block);
        for (int j = 0; j < BlockElements / 2; j++)
        {
            numbers[j] = ((block[2 + j] & 15) - 8) * scale;
            numbers[j + (BlockElements / 2)] = ((block[2 + j] >> 4) - 8) * scale;
        }
    }

    private static void EncodeQ8(ReadOnlySpan<float> x, Span<byte> block)
    {
        float largest = 0;
        foreach (float v in x)
        {
            largest = Math.Max(largest, Math.Abs(v));
        }

        float scale = largest / 127;
        float inverse = scale != 0 ? 1 / scale : 0;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        for (int j = 0; j < BlockElements; j++)
        {
            block[2 + j] = (byte)(sbyte)MathF.Round(x[j] * inverse, MidpointRounding.AwayFromZero);
        }
    }

    private static void EncodeQ4(ReadOnlySpan<float> x, Span<byte> block)
    {
        float largest = 0;
        float signed = 0;
        foreach (float v in x)
        {
            if (largest < Math.Abs(v))
            {
                (largest, signed) = (Math.Abs(v), v);
            }
        }

        float scale = signed / -8;
        float inverse = scale != 0 ? 1 / scale : 0;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        for (int j = 0; j < BlockElements / 2; j++)
        {
            int low = Math.Min(15, (int)((x[j] * inverse) + 8.5f));
            int high = Math.Min(15, (int)((x[j + (BlockElements / 2)] * inverse) + 8.5f));
            block[2 + j] = (byte)(low | (high << 4));
        }
    }

    private static ushort RoundToBfloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value)
            ? (ushort)((bits >> 16) | 64) // quiet, and never rounded to infinity
            : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }

    private static void CheckLengths(TensorType type, int bytes, int elements)
    {
        if (!CanRead(type))
        {
            throw new NotSupportedException($"{type} cannot be converted; expected f32, f16, bf16, q8_0 or q4_0.");
        }

        if (TensorTypes.ByteCount(type, elements) != bytes)
        {
            throw new ArgumentException(
                $"{elements} elements of {TensorTypes.NameOf(type)} are {TensorTypes.ByteCount(type, elements)} "
                    + $"bytes; found {bytes}.");
        }
    }
}
