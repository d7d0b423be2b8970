using System.CommandLine;
using Microsoft.Extensions.Logging;

namespace AnnRuntime.Cli;

/// <summary>How much of the native library's messages is shown.</summary>
internal static class Verbosity
{
    public static readonly Option<bool> Option = new("--verbose")
    {
        Description = "Shows every message of the native library on stderr. Default: warnings and errors.",
        Recursive = true,
    };

    /// <summary>Routes the messages. Loads the native library.</summary>
    public static void Apply(ParseResult parse, Terminal terminal)
    {
        LogLevel least = parse.GetValue(Option) ? LogLevel.Debug : LogLevel.Warning;
        AnnLog.Use((level, text) =>
        {
            if (level >= least)
            {
                terminal.Error.WriteLine(text);
            }
        });
    }
}
