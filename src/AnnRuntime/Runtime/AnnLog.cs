using AnnRuntime.Native;
using Microsoft.Extensions.Logging;

namespace AnnRuntime;

/// <summary>Where the messages of the native library go. Without a call: warnings and errors to stderr.</summary>
/// <remarks>Handlers run on the thread pool, one message at a time, never on a native thread.</remarks>
public static partial class AnnLog
{
    /// <summary>Sends messages to a logger.</summary>
    /// <param name="logger">The logger.</param>
    /// <exception cref="NativeLibraryException">The native library cannot be loaded.</exception>
    public static void Use(ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(logger);
        NativeLog.Set(record => Message(logger, ToLevel(record.Level), record.Text));
    }

    /// <summary>Sends messages to a delegate.</summary>
    /// <param name="handler">Gets the level and the text without its line end.</param>
    /// <exception cref="NativeLibraryException">The native library cannot be loaded.</exception>
    public static void Use(Action<LogLevel, string> handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        NativeLog.Set(record => handler(ToLevel(record.Level), record.Text));
    }

    /// <summary>Silences the library.</summary>
    /// <exception cref="NativeLibraryException">The native library cannot be loaded.</exception>
    public static void Silence() => NativeLog.Set(null);

    /// <summary>Ends the current handler after it has seen every message so far; the library is then silent.</summary>
    public static Task FlushAsync() => NativeLog.FlushAsync();

    private static LogLevel ToLevel(int level) => level switch
    {
        1 => LogLevel.Debug,
        2 => LogLevel.Information,
        3 => LogLevel.Warning,
        4 => LogLevel.Error,
        _ => LogLevel.Trace,
    };

    [LoggerMessage(EventId = 1, Message = "{Text}")]
    private static partial void Message(ILogger logger, LogLevel level, string text);
}
