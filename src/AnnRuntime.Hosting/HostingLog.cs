using Microsoft.Extensions.Logging;

namespace AnnRuntime.Hosting;

/// <summary>What a hosted model says.</summary>
internal static partial class HostingLog
{
    [LoggerMessage(1, LogLevel.Information, "{Name}: loading {Path}")]
    public static partial void Loading(this ILogger logger, string name, string path);

    [LoggerMessage(2, LogLevel.Information, "{Name}: {Percent} % loaded after {Seconds:0.0} s")]
    public static partial void Progress(this ILogger logger, string name, int percent, double seconds);

    [LoggerMessage(3, LogLevel.Information,
        "{Name}: loaded in {Seconds:0.0} s; {Cells} cells, {Sequences} answers at once, search {Mode} with K {TopK}, {Megabytes} MiB")]
    public static partial void Loaded(
        this ILogger logger, string name, double seconds, int cells, int sequences, SearchMode? mode, int? topK, long megabytes);

    [LoggerMessage(4, LogLevel.Information, "{Name}: warm after {Seconds:0.0} s")]
    public static partial void Warm(this ILogger logger, string name, double seconds);

    [LoggerMessage(5, LogLevel.Information, "{Name}: takes no more requests; waiting up to {Seconds:0.#} s for {Running} running and {Queued} queued ones")]
    public static partial void Draining(this ILogger logger, string name, double seconds, int running, int queued);

    [LoggerMessage(6, LogLevel.Warning, "{Name}: {Count} requests were cut off")]
    public static partial void CutOff(this ILogger logger, string name, int count);

    [LoggerMessage(7, LogLevel.Error, "{Name}: cannot be loaded")]
    public static partial void Failed(this ILogger logger, string name, Exception exception);
}
