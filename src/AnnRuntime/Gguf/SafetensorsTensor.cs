namespace AnnRuntime.Gguf;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Name">Name, for example <c>projections.0.W_Qs.weight</c>.</param>
/// <param name="Shape">Elements per dimension in the file's order: the last is the row that lies together.</param>
/// <param name="Type">F32, F16 or BF16.</param>
/// <param name="Offset">Start of the content in bytes from the start of the file.</param>
/// <param name="ByteCount">Bytes of the content.</param>
public sealed record SafetensorsTensor(
    string Name, IReadOnlyList<long> Shape, TensorType Type, long Offset, long ByteCount);
