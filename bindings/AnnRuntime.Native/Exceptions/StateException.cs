namespace AnnRuntime;

/// <summary>Saved state is damaged, of another model, or of a context with other cache types.</summary>
public class StateException : AnnRuntimeException
{
    /// <summary>Creates the exception without a message.</summary>
    public StateException()
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed.</summary>
    public StateException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a sentence that names what failed, and its cause.</summary>
    public StateException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
