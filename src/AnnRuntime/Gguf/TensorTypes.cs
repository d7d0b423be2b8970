using System.Collections.Frozen;

namespace AnnRuntime.Gguf;

/// <summary>Sizes of the tensor types, so that the bytes of any tensor can be computed.</summary>
/// <remarks>Source: ggml 0.25, ggml-common.h (block structures) and ggml.c (type traits).</remarks>
public static class TensorTypes
{
    private static readonly FrozenDictionary<TensorType, Traits> Table = new Dictionary<TensorType, Traits>
    {
        [TensorType.F32] = new("f32", 1, 4),
        [TensorType.F16] = new("f16", 1, 2),
        [TensorType.Q4_0] = new("q4_0", 32, 18),
        [TensorType.Q4_1] = new("q4_1", 32, 20),
        [TensorType.Q5_0] = new("q5_0", 32, 22),
        [TensorType.Q5_1] = new("q5_1", 32, 24),
        [TensorType.Q8_0] = new("q8_0", 32, 34),
        [TensorType.Q8_1] = new("q8_1", 32, 36),
        [TensorType.Q2_K] = new("q2_K", 256, 84),
        [TensorType.Q3_K] = new("q3_K", 256, 110),
        [TensorType.Q4_K] = new("q4_K", 256, 144),
        [TensorType.Q5_K] = new("q5_K", 256, 176),
        [TensorType.Q6_K] = new("q6_K", 256, 210),
        [TensorType.Q8_K] = new("q8_K", 256, 292),
        [TensorType.IQ2_XXS] = new("iq2_xxs", 256, 66),
        [TensorType.IQ2_XS] = new("iq2_xs", 256, 74),
        [TensorType.IQ3_XXS] = new("iq3_xxs", 256, 98),
        [TensorType.IQ1_S] = new("iq1_s", 256, 50),
        [TensorType.IQ4_NL] = new("iq4_nl", 32, 18),
        [TensorType.IQ3_S] = new("iq3_s", 256, 110),
        [TensorType.IQ2_S] = new("iq2_s", 256, 82),
        [TensorType.IQ4_XS] = new("iq4_xs", 256, 136),
        [TensorType.I8] = new("i8", 1, 1),
        [TensorType.I16] = new("i16", 1, 2),
        [TensorType.I32] = new("i32", 1, 4),
        [TensorType.I64] = new("i64", 1, 8),
        [TensorType.F64] = new("f64", 1, 8),
        [TensorType.IQ1_M] = new("iq1_m", 256, 56),
        [TensorType.BF16] = new("bf16", 1, 2),
        [TensorType.TQ1_0] = new("tq1_0", 256, 54),
        [TensorType.TQ2_0] = new("tq2_0", 256, 66),
        [TensorType.MXFP4] = new("mxfp4", 32, 17),
        [TensorType.NVFP4] = new("nvfp4", 64, 36),
        [TensorType.Q1_0] = new("q1_0", 128, 18),
        [TensorType.Q2_0] = new("q2_0", 64, 18),
    }.ToFrozenDictionary();

    /// <summary>Every type with known sizes.</summary>
    public static IReadOnlyCollection<TensorType> All => Table.Keys;

    /// <summary>True when the number is a type that ggml still knows.</summary>
    public static bool IsKnown(TensorType type) => Table.ContainsKey(type);

    /// <summary>ggml's lower-case name, for example <c>q8_0</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The type is not known.</exception>
    public static string NameOf(TensorType type) => Get(type).Name;

    /// <summary>Elements in one block; a row holds whole blocks.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The type is not known.</exception>
    public static int BlockElements(TensorType type) => Get(type).BlockElements;

    /// <summary>Bytes of one block.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The type is not known.</exception>
    public static int BlockBytes(TensorType type) => Get(type).BlockBytes;

    /// <summary>Bytes of a number of elements.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The type is not known or the elements are negative.</exception>
    /// <exception cref="ArgumentException">The elements are not whole blocks.</exception>
    /// <exception cref="OverflowException">The size does not fit 63 bits.</exception>
    public static long ByteCount(TensorType type, long elements)
    {
        Traits traits = Get(type);
        ArgumentOutOfRangeException.ThrowIfNegative(elements);
        if (elements % traits.BlockElements != 0)
        {
            throw new ArgumentException(
                $"{elements} elements are not whole blocks of {traits.BlockElements} ({traits.Name}).",
                nameof(elements));
        }

        return checked(elements / traits.BlockElements * traits.BlockBytes);
    }

    private static Traits Get(TensorType type) =>
        Table.TryGetValue(type, out Traits? traits)
            ? traits
            : throw new ArgumentOutOfRangeException(nameof(type), type, "Not a tensor type of ggml 0.25.");

    private sealed record Traits(string Name, int BlockElements, int BlockBytes);
}
