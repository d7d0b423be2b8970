using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace AnnRuntime.Tests.Hosting;

/// <summary>Keeps every message with its category.</summary>
internal sealed class LogLines : ILoggerProvider
{
    private readonly ConcurrentQueue<(string Category, string Text)> _lines = [];

    public IReadOnlyList<string> Of(string category) => [.. _lines.Where(line => line.Category == category).Select(line => line.Text)];

    public ILogger CreateLogger(string categoryName) => new Logger(_lines, categoryName);

    public void Dispose()
    {
        // nothing is held
    }

    private sealed class Logger(ConcurrentQueue<(string Category, string Text)> lines, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue((category, formatter(state, exception)));
    }
}
