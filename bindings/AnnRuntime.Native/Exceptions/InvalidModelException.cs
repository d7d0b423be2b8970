namespace AnnRuntime;

/// <summary>A model file is missing, truncated, malformed or has wrong tensors.</summary>
public class InvalidModelException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public InvalidModelException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public InvalidModelException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public InvalidModelException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
