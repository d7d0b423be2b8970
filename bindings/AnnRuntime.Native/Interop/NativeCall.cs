namespace AnnRuntime.Native;

/// <summary>The one gate between a native status and an exception.</summary>
internal static class NativeCall
{
    /// <summary>Returns when <paramref name="status"/> is ok and throws the status's exception otherwise.</summary>
    /// <param name="status">What the function returned.</param>
    /// <param name="error">What the function wrote.</param>
    /// <param name="cancellationToken">The token to blame when the call was cancelled.</param>
    public static void ThrowIfFailed(AnnStatus status, in AnnError error, CancellationToken cancellationToken = default)
    {
        if (status != AnnStatus.Ok)
        {
            throw ToException(status, error.Text(), cancellationToken);
        }
    }

    /// <summary>The table: which exception a status becomes.</summary>
    internal static Exception ToException(AnnStatus status, string message, CancellationToken cancellationToken = default)
    {
        if (message.Length == 0)
        {
            message = $"The native library answered {status} without a message.";
        }

        return status switch
        {
            AnnStatus.InvalidArgument => new ArgumentException(message),
            AnnStatus.CannotLoad => new InvalidModelException(message),
            AnnStatus.Unsupported => new UnsupportedModelException(message),
            AnnStatus.OutOfMemory => new NotEnoughMemoryException(message),
            AnnStatus.ContextFull => new ContextFullException(message),
            AnnStatus.Cancelled => new OperationCanceledException(message, cancellationToken),
            AnnStatus.BadState => new StateException(message),
            AnnStatus.Busy => new InvalidOperationException(message),
            _ => new AnnRuntimeException(message),
        };
    }
}
