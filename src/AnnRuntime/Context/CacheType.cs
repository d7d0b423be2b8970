namespace AnnRuntime;

/// <summary>Number format of a cache. The names are ggml's.</summary>
public enum CacheType
{
    /// <summary>16-bit floats, 2 bytes a value.</summary>
    F16,

    /// <summary>32-bit floats, 4 bytes a value.</summary>
    F32,

    /// <summary>bfloat16, 2 bytes a value.</summary>
    BF16,

    /// <summary>8 bits and a scale for 32 values, 1.0625 bytes a value.</summary>
    Q8_0,

    /// <summary>4 bits and a scale for 32 values, 0.5625 bytes a value.</summary>
    Q4_0,

    /// <summary>4 bits, a scale and an offset for 32 values, 0.625 bytes a value.</summary>
    Q4_1,

    /// <summary>5 bits and a scale for 32 values, 0.6875 bytes a value.</summary>
    Q5_0,

    /// <summary>5 bits, a scale and an offset for 32 values, 0.75 bytes a value.</summary>
    Q5_1,

    /// <summary>4 bits on a non-linear scale for 32 values, 0.5625 bytes a value.</summary>
    IQ4_NL,
}
