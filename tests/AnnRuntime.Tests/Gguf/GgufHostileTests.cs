using System.Buffers.Binary;
using System.Text;
using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Files from strangers: nothing but the documented exception, and no allocation by their numbers.</summary>
public sealed class GgufHostileTests
{
    private static readonly byte[] Sample = GgufSamples.Bytes(GgufSamples.EveryType(), GgufSamples.Tensors());

    [Fact]
    public void A_file_cut_anywhere_is_refused()
    {
        using GgufFile whole = GgufFile.FromMemory(Sample);
        long needed = whole.Tensors.Max(t => t.Offset + t.ByteCount);
        for (int length = 0; length < needed; length++)
        {
            TensorFileException e = Assert.Throws<TensorFileException>(
                () => GgufFile.FromMemory(Sample.AsMemory(0, length)));
            Assert.EndsWith(").", e.Message);
            Assert.InRange(e.Offset, 0, Sample.Length);
        }
    }

    [Fact]
    public void Random_bytes_are_refused()
    {
        Random random = new(1);
        for (int i = 0; i < 2000; i++)
        {
            byte[] bytes = new byte[random.Next(300)];
            random.NextBytes(bytes);
            if (i % 2 == 0 && bytes.Length >= 8)
            {
                "GGUF\u0003\0\0\0"u8.CopyTo(bytes);
            }

            Assert.Throws<TensorFileException>(() => GgufFile.FromMemory(bytes));
        }
    }

    [Fact]
    public void A_file_with_changed_bytes_is_read_or_refused()
    {
        Random random = new(2);
        int refused = 0;
        for (int i = 0; i < 5000; i++)
        {
            byte[] bytes = [.. Sample];
            for (int n = random.Next(1, 4); n > 0; n--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            refused += ReadsWhole(bytes) ? 0 : 1;
        }

        Assert.InRange(refused, 100, 4900);
    }

    [Fact]
    public void Any_number_replaced_by_a_huge_one_is_read_or_refused()
    {
        ulong[] huge = [ulong.MaxValue, long.MaxValue, 1UL << 62, 1UL << 40, uint.MaxValue, int.MaxValue, 0];
        for (int at = 0; at + 8 <= Sample.Length; at++)
        {
            foreach (ulong value in huge)
            {
                byte[] bytes = [.. Sample];
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), value);
                long before = GC.GetAllocatedBytesForCurrentThread();
                _ = ReadsWhole(bytes);
                Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
            }
        }
    }

    [Theory]
    [InlineData("magic", "the magic is 0x20202020; expected 0x46554747, \"GGUF\" (offset 0)")]
    [InlineData("version 1", "the GGUF version is 1; expected 2 or 3 (offset 4)")]
    [InlineData("big endian", "the GGUF version is 50331648; a big-endian file (offset 4)")]
    [InlineData("keys", "the key count is 9223372036854775807, but the 0 bytes left hold at most 0 (offset 16)")]
    [InlineData("tensors", "the tensor count is 1000, but the 8 bytes left hold at most 0 (offset 8)")]
    [InlineData("empty key", "key 0 is empty (offset 24)")]
    [InlineData("twice", "key k stands in the file twice (offset 38)")]
    [InlineData("type", "the type of key k is 13; expected 0..12 (offset 33)")]
    [InlineData("boolean", "key k holds the boolean 2; expected 0 or 1 (offset 37)")]
    [InlineData("nesting", "the arrays of key k nest deeper than 4 (offset 85)")]
    [InlineData("alignment", "key general.alignment is UInt32 24; expected a u32 power of two up to 1048576")]
    [InlineData("utf8", "key 0 is not valid UTF-8 (offset 24)")]
    public void Each_refusal_says_what_and_where(string file, string expected)
    {
        byte[] bytes = file switch
        {
            "magic" => [.. "    "u8],
            "version 1" => Header(1, 0, 0),
            "big endian" => Header(0x03000000, 0, 0),
            "keys" => Header(3, 0, long.MaxValue),
            "tensors" => Header(3, 1000, 0),
            "empty key" => [.. Header(3, 0, 1), .. Pair("", 0, 0, 0)],
            "twice" => [.. Header(3, 0, 2), .. Pair("k", 0, 1), .. Pair("k", 0, 1)],
            "type" => [.. Header(3, 0, 1), .. Pair("k", 13, 0)],
            "boolean" => [.. Header(3, 0, 1), .. Pair("k", 7, 2)],
            "nesting" => [.. Header(3, 0, 1), .. Pair("k", 9, [.. Nested, .. Nested, .. Nested, .. Nested, .. Nested])],
            "alignment" => [.. Header(3, 0, 1), .. Pair("general.alignment", 4, 24, 0, 0, 0)],
            _ => [.. Header(3, 0, 1), 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0],
        };

        TensorFileException e = Assert.Throws<TensorFileException>(() => GgufFile.FromMemory(bytes, "x.gguf"));

        Assert.Equal($"x.gguf: {expected}.", e.Message);
    }

    [Theory]
    [InlineData("dimensions", "tensor t has 5 dimensions; expected at most 4")]
    [InlineData("blocks", "tensor t has rows of 33 elements; expected whole q8_0 blocks of 32")]
    [InlineData("overflow", "is larger than 2^63 - 1 bytes")]
    [InlineData("removed type", "tensor t has type 4, which ggml 0.25 does not know")]
    [InlineData("offset", "the offset of tensor t is 16; expected a multiple of 32 inside the file of 192 bytes")]
    [InlineData("size", "tensor t needs 4096 bytes, but the file ends at 192")]
    [InlineData("overlap", "tensor u lies inside tensor t")]
    [InlineData("name", "the name of tensor 0 is 64 bytes long; expected at most 63")]
    public void Each_wrong_tensor_is_named(string file, string expected)
    {
        byte[] table = file switch
        {
            "dimensions" => Tensor("t", [1, 1, 1, 1, 1], 0, 0),
            "blocks" => Tensor("t", [33], 8, 0),
            "overflow" => Tensor("t", [1L << 40, 1L << 40], 0, 0),
            "removed type" => Tensor("t", [32], 4, 0),
            "offset" => Tensor("t", [4], 0, 16),
            "size" => Tensor("t", [1024], 0, 0),
            "overlap" => [.. Tensor("t", [16], 0, 0), .. Tensor("u", [8], 0, 32)],
            _ => Tensor(new string('t', 64), [4], 0, 0),
        };
        byte[] bytes = new byte[192];
        byte[] content = [.. Header(3, file == "overlap" ? 2 : 1, 0), .. table];
        content.CopyTo(bytes, 0);

        TensorFileException e = Assert.Throws<TensorFileException>(() => GgufFile.FromMemory(bytes));

        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public void A_missing_file_and_a_folder_are_told()
    {
        using ScratchFolder folder = new();
        string none = folder["none.gguf"];

        Assert.Equal(
            $"{none}: there is no such file.", Assert.Throws<TensorFileException>(() => GgufFile.Open(none)).Message);
        Assert.Equal(
            $"{none}: there is no such file.",
            Assert.Throws<TensorFileException>(() => ProjectionSet.Load(none)).Message);
        Assert.Equal(
            $"{folder["."]}: this is a folder; expected a file.",
            Assert.Throws<TensorFileException>(() => GgufFile.Open(folder["."])).Message);
    }

    private static byte[] Nested => [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

    // true when the file and all its contents could be read; anything but the documented exception fails the test
    private static bool ReadsWhole(byte[] bytes)
    {
        try
        {
            using GgufFile file = GgufFile.FromMemory(bytes);
            foreach (GgufTensor tensor in file.Tensors)
            {
                file.CopyTensor(tensor, Stream.Null);
            }

            foreach ((_, GgufValue value) in file.Metadata)
            {
                _ = value.ToString();
                _ = value.TryGetStrings(out _);
                _ = value.TryGetIntegers(out _);
            }

            return true;
        }
        catch (TensorFileException)
        {
            return false;
        }
    }

    private static byte[] Header(uint version, long tensors, long keys)
    {
        byte[] header = new byte[24];
        "GGUF"u8.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(4), version);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(8), tensors);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(16), keys);
        return header;
    }

    private static byte[] Pair(string key, byte type, params byte[] value) =>
        [(byte)key.Length, 0, 0, 0, 0, 0, 0, 0, .. Encoding.UTF8.GetBytes(key), type, 0, 0, 0, .. value];

    private static byte[] Tensor(string name, long[] dimensions, byte type, byte offset) =>
    [
        (byte)name.Length, 0, 0, 0, 0, 0, 0, 0, .. Encoding.UTF8.GetBytes(name), (byte)dimensions.Length, 0, 0, 0,
        .. dimensions.SelectMany(BitConverter.GetBytes), type, 0, 0, 0, offset, 0, 0, 0, 0, 0, 0, 0,
    ];
}
