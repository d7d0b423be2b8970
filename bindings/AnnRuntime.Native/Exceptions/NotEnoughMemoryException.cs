namespace AnnRuntime;

/// <summary>The memory that a model or a context needs is not there.</summary>
public class NotEnoughMemoryException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public NotEnoughMemoryException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public NotEnoughMemoryException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public NotEnoughMemoryException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
