namespace AnnRuntime.Gguf;

/// <summary>One tensor of a GGUF file.</summary>
/// <param name="Name">Name, for example <c>blk.0.attn_q.weight</c>; at most 63 bytes.</param>
/// <param name="Dimensions">Elements per dimension in ggml's order: the first is the row that lies together.</param>
/// <param name="Type">How the elements are stored.</param>
/// <param name="Offset">Start of the content in bytes from the start of the file.</param>
/// <param name="ByteCount">Bytes of the content, without padding.</param>
public sealed record GgufTensor(
    string Name, IReadOnlyList<long> Dimensions, TensorType Type, long Offset, long ByteCount)
{
    /// <summary>All elements; 1 without dimensions.</summary>
    public long ElementCount => Dimensions.Aggregate(1L, (a, b) => a * b);

    /// <summary>Dimensions for messages, for example <c>{384, 64}</c>.</summary>
    public string Shape => $"{{{string.Join(", ", Dimensions)}}}";
}
