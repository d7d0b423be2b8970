namespace AnnRuntime;

/// <summary>The engine's queue is full, or the engine is draining; nothing was computed. Try again later.</summary>
public sealed class EngineBusyException : Exception
{
    /// <summary>Creates it without a message of its own.</summary>
    public EngineBusyException()
        : base("The engine is busy.")
    {
    }

    /// <summary>Creates it.</summary>
    /// <param name="message">What is full.</param>
    public EngineBusyException(string message)
        : base(message)
    {
    }

    /// <summary>Creates it with a cause.</summary>
    /// <param name="message">What is full.</param>
    /// <param name="innerException">The cause.</param>
    public EngineBusyException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Whether the engine shuts down, so that trying again is of no use. Default false: its queue is full.</summary>
    public bool IsDraining { get; init; }
}
