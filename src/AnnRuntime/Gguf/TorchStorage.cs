namespace AnnRuntime.Gguf;

/// <summary>The storage of a tensor in a PyTorch checkpoint.</summary>
/// <param name="Type">F32, F16 or BF16.</param>
/// <param name="Key">Name of the archive entry below <c>data/</c>.</param>
/// <param name="ElementCount">Elements in the storage.</param>
internal sealed record TorchStorage(TensorType Type, string Key, long ElementCount)
{
    /// <summary>Reads ("storage", class, key, device, elements); null when the tuple is something else.</summary>
    public static TorchStorage? FromTuple(object?[]? tuple) =>
        tuple is ["storage", PickleName type, string key, string, long and >= 0 and var count]
            && TypeOf(type.Text) is { } known
            ? new TorchStorage(known, key, count)
            : null;

    private static TensorType? TypeOf(string name) => name switch
    {
        "torch.FloatStorage" => TensorType.F32,
        "torch.HalfStorage" => TensorType.F16,
        "torch.BFloat16Storage" => TensorType.BF16,
        _ => null,
    };
}
