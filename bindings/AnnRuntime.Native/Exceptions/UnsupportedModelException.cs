namespace AnnRuntime;

/// <summary>A valid request that this model or this build of the library cannot serve.</summary>
public class UnsupportedModelException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public UnsupportedModelException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public UnsupportedModelException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public UnsupportedModelException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
