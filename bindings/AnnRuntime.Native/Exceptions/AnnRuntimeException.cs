namespace AnnRuntime;

/// <summary>Something failed inside AnnRuntime that is no mistake in an argument.</summary>
/// <remarks>
/// The base of all exceptions of this library. Wrong arguments are of the <see cref="ArgumentException"/> family, a
/// cancelled call throws <see cref="OperationCanceledException"/>, a disposed object
/// <see cref="ObjectDisposedException"/>, and two threads inside one context <see cref="InvalidOperationException"/>.
/// </remarks>
public class AnnRuntimeException : Exception
{
    /// <summary>Creates the exception without a message.</summary>
    public AnnRuntimeException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public AnnRuntimeException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public AnnRuntimeException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
