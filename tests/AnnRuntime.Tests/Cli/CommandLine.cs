using AnnRuntime.Cli;

namespace AnnRuntime.Tests.Cli;

/// <summary>Runs a command line through the program's entry point.</summary>
internal static class CommandLine
{
    public static async Task<(int Code, string Output, string Error)> RunAsync(
        string[] arguments, CancellationToken cancellationToken = default)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await Program.RunAsync(arguments, output, TextWriter.Synchronized(error), cancellationToken);
        return (code, output.ToString(), error.ToString());
    }
}
