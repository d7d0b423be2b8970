using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace AnnRuntime.Gguf;

/// <summary>Random tensor contents of mean 0 and standard deviation 0.02, made at the speed of a disk.</summary>
/// <remarks>
/// Quantised blocks are written directly: uniform quants and one fixed scale. The content depends on the seed and the
/// tensor's name alone. Generator: xoshiro256**, seeded by SplitMix64 (Blackman, Vigna).
/// </remarks>
internal sealed class SyntheticContent
{
    private const double Deviation = 0.02;
    private const int BlocksPerChunk = 32768;

    private readonly TensorType _type;
    private readonly long _byteCount;
    private ulong _s0;
    private ulong _s1;
    private ulong _s2;
    private ulong _s3;

    private SyntheticContent(TensorType type, long byteCount, ulong state)
    {
        _type = type;
        _byteCount = byteCount;
        _s0 = SplitMix(ref state);
        _s1 = SplitMix(ref state);
        _s2 = SplitMix(ref state);
        _s3 = SplitMix(ref state);
    }

    /// <summary>A random matrix of type F16, Q8_0 or Q4_0.</summary>
    public static GgufTensorSource Matrix(string name, long columns, long rows, TensorType type, ulong seed)
    {
        long byteCount = TensorTypes.ByteCount(type, columns * rows);
        return new(name, [columns, rows], type, destination =>
            new SyntheticContent(type, byteCount, seed ^ HashOf(name)).Write(destination));
    }

    /// <summary>The weights of a norm: ones.</summary>
    public static GgufTensorSource Norm(string name, int length)
    {
        float[] ones = new float[length];
        Array.Fill(ones, 1f);
        byte[] content = MemoryMarshal.AsBytes(ones.AsSpan()).ToArray();
        return GgufTensorSource.FromMemory(name, [length], TensorType.F32, content);
    }

    private void Write(Stream destination)
    {
        int block = TensorTypes.BlockBytes(_type);
        byte[] chunk = new byte[block * BlocksPerChunk];
        Half[] halves = _type == TensorType.F16 ? UniformHalves() : [];
        for (long left = _byteCount; left > 0; left -= Math.Min(left, chunk.Length))
        {
            Span<byte> part = chunk.AsSpan(0, (int)Math.Min(left, chunk.Length));
            Fill(part);
            if (_type == TensorType.F16)
            {
                Replace(MemoryMarshal.Cast<byte, ushort>(part), halves);
            }
            else
            {
                SetScales(part, block);
            }

            destination.Write(part);
        }
    }

    private void Fill(Span<byte> bytes)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = Next();
        }

        Span<byte> last = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(last, Next());
        last[..(bytes.Length % 8)].CopyTo(bytes[(words.Length * 8)..]);
    }

    // uniform in +-w has the deviation w / sqrt(3)
    private static Half[] UniformHalves()
    {
        double width = Deviation * Math.Sqrt(3);
        Half[] halves = new Half[65536];
        for (int i = 0; i < halves.Length; i++)
        {
            halves[i] = (Half)(width * ((i + 0.5) / 32768 - 1));
        }

        return halves;
    }

    private static void Replace(Span<ushort> words, Half[] halves)
    {
        foreach (ref ushort word in words)
        {
            word = BitConverter.HalfToUInt16Bits(halves[word]);
        }
    }

    // uniform whole numbers of n values have the deviation sqrt((n * n - 1) / 12)
    private void SetScales(Span<byte> blocks, int block)
    {
        bool is8 = _type == TensorType.Q8_0;
        double values = is8 ? 255 : 16;
        Half scale = (Half)(Deviation / Math.Sqrt(((values * values) - 1) / 12));
        for (int at = 0; at < blocks.Length; at += block)
        {
            BinaryPrimitives.WriteHalfLittleEndian(blocks[at..], scale);
            if (is8)
            {
                Span<sbyte> quants = MemoryMarshal.Cast<byte, sbyte>(blocks.Slice(at + 2, block - 2));
                RaiseMinimum(quants);
            }
        }
    }

    // -128 is no q8_0 quant; it becomes -127
    private static void RaiseMinimum(Span<sbyte> quants)
    {
        Vector<sbyte> least = new(-127);
        for (; quants.Length >= Vector<sbyte>.Count; quants = quants[Vector<sbyte>.Count..])
        {
            Vector.Max(new Vector<sbyte>(quants), least).CopyTo(quants);
        }

        foreach (ref sbyte q in quants)
        {
            q = Math.Max(q, (sbyte)-127);
        }
    }

    private ulong Next()
    {
        ulong result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        ulong t = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= t;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }

    private static ulong SplitMix(ref ulong state)
    {
        ulong z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    // FNV-1a, so that the content does not depend on the order of the tensors
    private static ulong HashOf(string name)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte b in Encoding.UTF8.GetBytes(name))
        {
            hash = (hash ^ b) * 0x100000001b3;
        }

        return hash;
    }
}
