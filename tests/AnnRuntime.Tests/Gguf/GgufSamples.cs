using AnnRuntime.Gguf;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Small GGUF files with something of everything.</summary>
internal static class GgufSamples
{
    /// <summary>One value of each of the 13 types, and arrays of each.</summary>
    public static GgufMetadata EveryType(int alignment = 32) => new()
    {
        ["general.alignment"] = GgufValue.From((uint)alignment),
        ["a.u8"] = GgufValue.From(byte.MaxValue),
        ["a.i8"] = GgufValue.From(sbyte.MinValue),
        ["a.u16"] = GgufValue.From(ushort.MaxValue),
        ["a.i16"] = GgufValue.From(short.MinValue),
        ["a.u32"] = GgufValue.From(uint.MaxValue),
        ["a.i32"] = GgufValue.From(int.MinValue),
        ["a.f32"] = GgufValue.From(1.5f),
        ["a.bool"] = GgufValue.From(true),
        ["a.string"] = GgufValue.From("Grüße, 世界 \0 end"),
        ["a.u64"] = GgufValue.From(ulong.MaxValue),
        ["a.i64"] = GgufValue.From(long.MinValue),
        ["a.f64"] = GgufValue.From(Math.PI),
        ["b.u8"] = GgufValue.FromArray<byte>([1, 2, 3]),
        ["b.i16"] = GgufValue.FromArray<short>([-1, 2]),
        ["b.i32"] = GgufValue.FromArray<int>([2, 4, 6]),
        ["b.f32"] = GgufValue.FromArray<float>([0.5f, float.NaN]),
        ["b.f64"] = GgufValue.FromArray<double>([]),
        ["b.bool"] = GgufValue.FromArray([true, false, true]),
        ["b.strings"] = GgufValue.FromArray(["", "Ġa", "\n"]),
        ["b.nested"] = GgufValue.FromArray([GgufValue.FromArray<int>([1]), GgufValue.FromArray(["x", "y"])]),
    };

    /// <summary>A tensor of each type that can be converted, with content that depends on its place.</summary>
    public static GgufTensorSource[] Tensors() =>
    [
        Tensor("scalar", [], TensorType.F32),
        Tensor("f32", [3, 2], TensorType.F32),
        Tensor("f16", [5], TensorType.F16),
        Tensor("bf16", [2, 3, 2, 2], TensorType.BF16),
        Tensor("q8_0", [64, 2], TensorType.Q8_0),
        Tensor("q4_0", [32, 3], TensorType.Q4_0),
        Tensor("empty", [32, 0], TensorType.F16),
        Tensor("q6_K", [256], TensorType.Q6_K),
    ];

    /// <summary>The bytes of a whole file.</summary>
    public static byte[] Bytes(GgufMetadata metadata, params GgufTensorSource[] tensors)
    {
        using MemoryStream stream = new();
        GgufWriter.Write(stream, metadata, tensors);
        return stream.ToArray();
    }

    /// <summary>The content that <see cref="Tensor"/> writes.</summary>
    public static byte[] Content(string name, long byteCount)
    {
        byte[] content = new byte[byteCount];
        new Random(name.Length + name[0]).NextBytes(content);
        return content;
    }

    private static GgufTensorSource Tensor(string name, long[] dimensions, TensorType type)
    {
        long bytes = TensorTypes.ByteCount(type, dimensions.Aggregate(1L, (a, b) => a * b));
        return GgufTensorSource.FromMemory(name, dimensions, type, Content(name, bytes));
    }
}
