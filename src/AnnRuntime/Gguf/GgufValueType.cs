namespace AnnRuntime.Gguf;

/// <summary>Type of a metadata value; the numbers are those of the file format.</summary>
public enum GgufValueType
{
    /// <summary>Unsigned, 1 byte.</summary>
    UInt8 = 0,

    /// <summary>Signed, 1 byte.</summary>
    Int8 = 1,

    /// <summary>Unsigned, 2 bytes.</summary>
    UInt16 = 2,

    /// <summary>Signed, 2 bytes.</summary>
    Int16 = 3,

    /// <summary>Unsigned, 4 bytes.</summary>
    UInt32 = 4,

    /// <summary>Signed, 4 bytes.</summary>
    Int32 = 5,

    /// <summary>IEEE 754, 4 bytes.</summary>
    Float32 = 6,

    /// <summary>One byte, 0 or 1.</summary>
    Boolean = 7,

    /// <summary>u64 length in bytes, then UTF-8.</summary>
    String = 8,

    /// <summary>u32 element type, u64 count, then the elements.</summary>
    Array = 9,

    /// <summary>Unsigned, 8 bytes.</summary>
    UInt64 = 10,

    /// <summary>Signed, 8 bytes.</summary>
    Int64 = 11,

    /// <summary>IEEE 754, 8 bytes.</summary>
    Float64 = 12,
}
