using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

public sealed class TensorConverterTests
{
    public static TheoryData<TensorType> Convertible => [
        TensorType.F32,
        TensorType.F16,
        TensorType.BF16,
        TensorType.Q8_0,
        TensorType.Q4_0,
    ];

    [Theory]
    [MemberData(nameof(Convertible))]
    public void Encoding_stays_within_the_step_of_the_type(TensorType type)
    {
        Random random = new(3);
        float[] numbers = [.. Enumerable.Range(0, 256).Select(_ => (float)((random.NextDouble() * 2) - 1))];
        byte[] content = new byte[TensorTypes.ByteCount(type, numbers.Length)];
        float[] decoded = new float[numbers.Length];

        TensorConverter.FromSingle(type, numbers, content);
        TensorConverter.ToSingle(type, content, decoded);

        double step = type switch
        {
            TensorType.F32 => 0,
            TensorType.F16 => 1.0 / 2048,
            TensorType.BF16 => 1.0 / 256,
            TensorType.Q8_0 => 1.0 / 240, // half a step, and the rounding of the scale
            _ => 1.0 / 8,
        };
        Assert.All(numbers.Zip(decoded), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, step));
    }

    [Theory]
    [MemberData(nameof(Convertible))]
    public void What_was_decoded_is_encoded_to_the_same_numbers(TensorType type)
    {
        Random random = new(4);
        float[] numbers = [.. Enumerable.Range(0, 128).Select(_ => (float)random.NextDouble())];
        float[] once = Through(type, numbers);

        // a quantised block keeps its largest element, so its scale is found again up to rounding
        Assert.All(once.Zip(Through(type, once)), pair => Assert.Equal(pair.First, pair.Second, 2e-3f));
    }

    [Fact]
    public void Quantised_blocks_have_the_layout_of_ggml()
    {
        float[] numbers = new float[32];
        (numbers[0], numbers[1], numbers[16], numbers[31]) = (-8, 7, 3.4f, -0.6f);
        byte[] q4 = new byte[18];
        byte[] q8 = new byte[34];

        TensorConverter.FromSingle(TensorType.Q4_0, numbers, q4);
        numbers[0] = 127;
        TensorConverter.FromSingle(TensorType.Q8_0, numbers, q8);

        Assert.Equal([0x00, 0x3c, 0xb0, 0x8f], q4[..4]); // scale 1; low half -8, high half 3; low half 7, high half 0
        Assert.Equal(0x78, q4[17]);
        Assert.Equal([0x00, 0x3c, 127, 7], q8[..4]);
        Assert.Equal([3, 255], new[] { q8[18], q8[33] });
    }

    [Fact]
    public void Halves_of_a_block_of_zeros_and_bfloat16_ties_are_right()
    {
        byte[] content = new byte[34];
        TensorConverter.FromSingle(TensorType.Q8_0, new float[32], content);
        Assert.All(content, b => Assert.Equal(0, b));

        float[] ties = [1f + (1f / 256), 1f + (3f / 256), float.NaN, float.PositiveInfinity];
        byte[] upper = new byte[8];
        TensorConverter.FromSingle(TensorType.BF16, ties, upper);
        Assert.Equal([0x80, 0x3f, 0x82, 0x3f], upper[..4]); // to even
        Assert.Equal([0xc0, 0xff, 0x80, 0x7f], upper[4..]); // float.NaN is negative
    }

    [Fact]
    public void Lengths_and_types_are_checked()
    {
        Assert.Throws<ArgumentException>(() => TensorConverter.ToSingle(TensorType.F32, new byte[4], new float[2]));
        Assert.Throws<ArgumentException>(() => TensorConverter.FromSingle(
            TensorType.Q8_0, new float[31], new byte[34]));
        Assert.Throws<NotSupportedException>(() => TensorConverter.ToSingle(
            TensorType.Q6_K, new byte[210], new float[256]));
    }

    [Theory]
    [InlineData(TensorType.Q4_1, 64, 40)]
    [InlineData(TensorType.Q2_K, 256, 84)]
    [InlineData(TensorType.Q6_K, 512, 420)]
    [InlineData(TensorType.IQ4_XS, 256, 136)]
    [InlineData(TensorType.MXFP4, 32, 17)]
    [InlineData(TensorType.I64, 3, 24)]
    public void Sizes_are_those_of_ggml(TensorType type, long elements, long bytes)
    {
        Assert.Equal(bytes, TensorTypes.ByteCount(type, elements));
        Assert.Equal(Enum.GetValues<TensorType>().Length, TensorTypes.All.Count);
        Assert.Equal($"{type}".ToUpperInvariant(), TensorTypes.NameOf(type).ToUpperInvariant());
    }

    private static float[] Through(TensorType type, float[] numbers)
    {
        byte[] content = new byte[TensorTypes.ByteCount(type, numbers.Length)];
        float[] decoded = new float[numbers.Length];
        TensorConverter.FromSingle(type, numbers, content);
        TensorConverter.ToSingle(type, content, decoded);
        return decoded;
    }
}
