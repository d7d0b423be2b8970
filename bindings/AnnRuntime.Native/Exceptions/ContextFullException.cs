namespace AnnRuntime;

/// <summary>The prompt or the batch needs more cells than the context has free. Nothing was stored.</summary>
public class ContextFullException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public ContextFullException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public ContextFullException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public ContextFullException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
