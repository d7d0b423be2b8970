using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>For files made at random: what was written is what is read, and writing it again changes no byte.</summary>
public sealed class GgufPropertyTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Writing_and_reading_are_inverse(int seed)
    {
        Random random = new(seed);
        for (int i = 0; i < 100; i++)
        {
            GgufMetadata metadata = Metadata(random);
            GgufTensorSource[] tensors = Tensors(random);
            byte[] bytes = GgufSamples.Bytes(metadata, tensors);

            using GgufFile file = GgufFile.FromMemory(bytes);

            Assert.Equal(metadata.ToArray(), file.Metadata.ToArray());
            Assert.Equal(tensors.Select(Describe), file.Tensors.Select(t => (t.Name, t.Shape, t.Type, t.ByteCount)));
            Assert.Equal(
                bytes, GgufSamples.Bytes(file.Metadata, [.. file.Tensors.Select(t => GgufTensorSource.Copy(file, t))]));
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void A_random_file_cut_inside_its_contents_is_refused(int seed)
    {
        Random random = new(seed);
        for (int i = 0; i < 200; i++)
        {
            byte[] bytes = GgufSamples.Bytes(Metadata(random), Tensors(random));
            using GgufFile file = GgufFile.FromMemory(bytes);
            long needed = file.Tensors
                .Where(t => t.ByteCount > 0).Select(t => t.Offset + t.ByteCount).DefaultIfEmpty(24).Max();

            Assert.Throws<TensorFileException>(() => GgufFile.FromMemory(bytes.AsMemory(0, random.Next((int)needed))));
        }
    }

    private static (string, string, TensorType, long) Describe(GgufTensorSource source) =>
        (source.Name, $"{{{string.Join(", ", source.Dimensions)}}}", source.Type, source.ByteCount);

    private static GgufMetadata Metadata(Random random)
    {
        GgufMetadata metadata = new();
        for (int n = random.Next(12); n > 0; n--)
        {
            metadata[Text(random, 1)] = Value(random, 0);
        }

        if (random.Next(3) == 0)
        {
            metadata["general.alignment"] = GgufValue.From(1u << random.Next(10));
        }

        return metadata;
    }

    private static GgufTensorSource[] Tensors(Random random)
    {
        TensorType[] types = Enum.GetValues<TensorType>();
        return
        [
            .. Enumerable.Range(0, random.Next(6)).Select(i =>
            {
                TensorType type = types[random.Next(types.Length)];
                int block = TensorTypes.BlockElements(type);
                long[] dimensions = new long[random.Next(block == 1 ? 0 : 1, 5)];
                for (int d = 0; d < dimensions.Length; d++)
                {
                    dimensions[d] = random.Next(4) * (d == 0 ? block : 1);
                }

                GgufTensorSource shape = new($"t{i}", dimensions, type, _ => { });
                byte[] content = new byte[shape.ByteCount];
                random.NextBytes(content);
                return shape with { WriteContent = stream => stream.Write(content) };
            }),
        ];
    }

    private static GgufValue Value(Random random, int nesting) => random.Next(nesting < 3 ? 18 : 17) switch
    {
        0 => GgufValue.From((byte)random.Next()),
        1 => GgufValue.From((sbyte)random.Next()),
        2 => GgufValue.From((ushort)random.Next()),
        3 => GgufValue.From((short)random.Next()),
        4 => GgufValue.From((uint)random.NextInt64()),
        5 => GgufValue.From((int)random.NextInt64()),
        6 => GgufValue.From(random.NextSingle()),
        7 => GgufValue.From(random.Next(2) == 0),
        8 => GgufValue.From(Text(random, 0)),
        9 => GgufValue.From((ulong)random.NextInt64() * 2),
        10 => GgufValue.From(-random.NextInt64()),
        11 => GgufValue.From(random.NextDouble()),
        12 => GgufValue.FromArray<byte>(Many(random, () => (byte)random.Next())),
        13 => GgufValue.FromArray<int>(Many(random, random.Next)),
        14 => GgufValue.FromArray<double>(Many(random, random.NextDouble)),
        15 => GgufValue.FromArray(Many(random, () => random.Next(2) == 0)),
        16 => GgufValue.FromArray(Many(random, () => Text(random, 0))),
        _ => GgufValue.FromArray(
            Many(random, () => Value(random, nesting + 1)).Take(3).Where(v => v.Type == GgufValueType.Array).ToArray()),
    };

    private static T[] Many<T>(Random random, Func<T> make) =>
        [.. Enumerable.Range(0, random.Next(40)).Select(_ => make())];

    private static string Text(Random random, int minimum)
    {
        string[] letters = ["a", "é", "世", "🙂", "\0", "\n", ".", "Ġ"];
        return string.Concat(random.GetItems(letters, random.Next(minimum, 12)));
    }
}
