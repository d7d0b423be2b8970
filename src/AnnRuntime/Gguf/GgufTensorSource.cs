namespace AnnRuntime.Gguf;

/// <summary>A tensor that is to be written: its description, and who writes its content when its turn comes.</summary>
/// <param name="Name">Name, 1 to 63 bytes of UTF-8, unique in the file.</param>
/// <param name="Dimensions">
/// Elements per dimension in ggml's order, at most 4; rows are whole blocks of the type.
/// </param>
/// <param name="Type">How the elements are stored.</param>
/// <param name="WriteContent">Writes exactly the content's bytes; called once.</param>
public sealed record GgufTensorSource(
    string Name, IReadOnlyList<long> Dimensions, TensorType Type, Action<Stream> WriteContent)
{
    /// <summary>Bytes of the content, without padding.</summary>
    /// <exception cref="ArgumentException">The rows are not whole blocks, or the type is not known.</exception>
    /// <exception cref="OverflowException">The size does not fit 63 bits.</exception>
    public long ByteCount
    {
        get
        {
            long row = Dimensions.Count > 0 ? Dimensions[0] : 1;
            long rows = Dimensions.Skip(1).Aggregate(1L, (a, b) => checked(a * b));
            return checked(TensorTypes.ByteCount(Type, row) * rows);
        }
    }

    /// <summary>A tensor whose content is copied byte for byte from an open file.</summary>
    public static GgufTensorSource Copy(GgufFile file, GgufTensor tensor) =>
        new(tensor.Name, tensor.Dimensions, tensor.Type, destination => file.CopyTensor(tensor, destination));

    /// <summary>A tensor whose content is in memory.</summary>
    public static GgufTensorSource FromMemory(
        string name, IReadOnlyList<long> dimensions, TensorType type, ReadOnlyMemory<byte> content) =>
        new(name, dimensions, type, destination => destination.Write(content.Span));
}
