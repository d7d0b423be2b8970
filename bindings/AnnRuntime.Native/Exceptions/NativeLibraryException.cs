namespace AnnRuntime;

/// <summary>The native library cannot be loaded, or is not of the version that this assembly was built for.</summary>
public class NativeLibraryException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public NativeLibraryException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public NativeLibraryException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public NativeLibraryException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
