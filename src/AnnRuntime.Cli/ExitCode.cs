namespace AnnRuntime.Cli;

/// <summary>What a verb tells the shell.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>The verb ran, and what it checks does not hold; or it failed half-way.</summary>
    public const int Failed = 1;

    /// <summary>A wrong argument.</summary>
    public const int Usage = 2;

    /// <summary>A model, a context or the native library cannot be loaded.</summary>
    public const int CannotLoad = 3;

    /// <summary>Ctrl-C.</summary>
    public const int Cancelled = 130;
}
