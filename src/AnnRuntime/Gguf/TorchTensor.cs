namespace AnnRuntime.Gguf;

/// <summary>A view of a storage in a PyTorch checkpoint.</summary>
/// <param name="Storage">Storage the elements lie in.</param>
/// <param name="Offset">First element.</param>
/// <param name="Shape">Elements per dimension.</param>
/// <param name="Strides">Elements between neighbours, per dimension.</param>
internal sealed record TorchTensor(TorchStorage Storage, long Offset, long[] Shape, long[] Strides)
{
    /// <summary>Reads (storage, offset, shape, strides, ...); null when the arguments are something else.</summary>
    public static TorchTensor? FromArguments(object?[] arguments) =>
        arguments is [TorchStorage storage, long and >= 0 and var offset, object?[] shape, object?[] strides, ..]
            && Numbers(shape) is { } extents && Numbers(strides) is { } steps && extents.Length == steps.Length
            ? new TorchTensor(storage, offset, extents, steps)
            : null;

    /// <summary>True when every element of the view lies in the storage.</summary>
    public bool LiesInStorage()
    {
        Int128 last = Offset;
        for (int d = 0; d < Shape.Length; d++)
        {
            if (Shape[d] == 0)
            {
                return true;
            }

            last += (Int128)(Shape[d] - 1) * Strides[d];
        }

        return last < Storage.ElementCount;
    }

    private static long[]? Numbers(object?[] tuple)
    {
        long[] numbers = new long[tuple.Length];
        for (int i = 0; i < tuple.Length; i++)
        {
            if (tuple[i] is not (long and >= 0 and var n))
            {
                return null;
            }

            numbers[i] = n;
        }

        return numbers;
    }
}
