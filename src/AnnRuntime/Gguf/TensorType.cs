namespace AnnRuntime.Gguf;

#pragma warning disable CA1707 // The names are ggml's.

/// <summary>How the elements of a tensor are stored; names and numbers are ggml's (0.25).</summary>
/// <remarks>Sizes stand in <see cref="TensorTypes"/>. Numbers that ggml has removed are not members.</remarks>
public enum TensorType
{
    /// <summary>IEEE 754 single.</summary>
    F32 = 0,

    /// <summary>IEEE 754 half.</summary>
    F16 = 1,

    /// <summary>4 bits, blocks of 32 with one f16 scale.</summary>
    Q4_0 = 2,

    /// <summary>4 bits, blocks of 32 with scale and minimum.</summary>
    Q4_1 = 3,

    /// <summary>5 bits, blocks of 32 with one scale.</summary>
    Q5_0 = 6,

    /// <summary>5 bits, blocks of 32 with scale and minimum.</summary>
    Q5_1 = 7,

    /// <summary>8 bits, blocks of 32 with one f16 scale.</summary>
    Q8_0 = 8,

    /// <summary>8 bits with scale and sum; never in a file by itself.</summary>
    Q8_1 = 9,

    /// <summary>2.6 bits, super-blocks of 256.</summary>
    Q2_K = 10,

    /// <summary>3.4 bits, super-blocks of 256.</summary>
    Q3_K = 11,

    /// <summary>4.5 bits, super-blocks of 256.</summary>
    Q4_K = 12,

    /// <summary>5.5 bits, super-blocks of 256.</summary>
    Q5_K = 13,

    /// <summary>6.6 bits, super-blocks of 256.</summary>
    Q6_K = 14,

    /// <summary>8 bits with f32 scale and sums; never in a file by itself.</summary>
    Q8_K = 15,

    /// <summary>2.1 bits, codebook.</summary>
    IQ2_XXS = 16,

    /// <summary>2.3 bits, codebook.</summary>
    IQ2_XS = 17,

    /// <summary>3.1 bits, codebook.</summary>
    IQ3_XXS = 18,

    /// <summary>1.6 bits, codebook.</summary>
    IQ1_S = 19,

    /// <summary>4 bits, non-linear, blocks of 32.</summary>
    IQ4_NL = 20,

    /// <summary>3.4 bits, codebook.</summary>
    IQ3_S = 21,

    /// <summary>2.6 bits, codebook.</summary>
    IQ2_S = 22,

    /// <summary>4.3 bits, non-linear, super-blocks of 256.</summary>
    IQ4_XS = 23,

    /// <summary>Signed byte.</summary>
    I8 = 24,

    /// <summary>Signed, 2 bytes.</summary>
    I16 = 25,

    /// <summary>Signed, 4 bytes.</summary>
    I32 = 26,

    /// <summary>Signed, 8 bytes.</summary>
    I64 = 27,

    /// <summary>IEEE 754 double.</summary>
    F64 = 28,

    /// <summary>1.8 bits, codebook.</summary>
    IQ1_M = 29,

    /// <summary>Upper half of a single.</summary>
    BF16 = 30,

    /// <summary>Ternary, 1.7 bits.</summary>
    TQ1_0 = 34,

    /// <summary>Ternary, 2.1 bits.</summary>
    TQ2_0 = 35,

    /// <summary>4-bit floats, blocks of 32 with one E8M0 scale.</summary>
    MXFP4 = 39,

    /// <summary>4-bit floats, blocks of 64 with four E4M3 scales.</summary>
    NVFP4 = 40,

    /// <summary>1 bit, blocks of 128 with one f16 scale.</summary>
    Q1_0 = 41,

    /// <summary>2 bits, blocks of 64 with one f16 scale.</summary>
    Q2_0 = 42,
}
