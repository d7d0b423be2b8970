using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>The one way from a parsed command line to an exit code.</summary>
internal static class Verb
{
    /// <summary>Gives <paramref name="command"/> its body. Exceptions become a sentence on stderr and an exit code.</summary>
    /// <remarks>JSON and results go to <see cref="Terminal.Output"/>, everything else to <see cref="Terminal.Error"/>.</remarks>
    public static Command Runs(this Command command, Func<ParseResult, Terminal, CancellationToken, Task<int>> body)
    {
        command.SetAction(async (parse, cancellationToken) =>
        {
            var terminal = new Terminal(parse.InvocationConfiguration.Output, parse.InvocationConfiguration.Error);
            try
            {
                return await body(parse, terminal, cancellationToken);
            }
            catch (Exception exception)
            {
                return Report(exception, terminal.Error);
            }
        });
        return command;
    }

    /// <summary>Parses and runs. Wrong arguments are told on <paramref name="error"/> and end with <see cref="ExitCode.Usage"/>.</summary>
    public static async Task<int> InvokeAsync(
        RootCommand root, string[] args, TextWriter output, TextWriter error, CancellationToken cancellationToken)
    {
        ParseResult parse = root.Parse(args is [] ? ["--help"] : args);
        if (parse.Errors.Count > 0)
        {
            Command command = parse.CommandResult.Command;
            string[] messages = command is RootCommand && parse.UnmatchedTokens is [var word, ..]
                ? [$"'{word}' is no verb."]
                : [.. parse.Errors.Select(wrong => wrong.Message)];
            foreach (string message in messages)
            {
                error.WriteLine(message);
            }

            error.WriteLine($"'{(command is RootCommand ? "" : command.Name + " ")}--help' lists what is accepted.");
            return ExitCode.Usage;
        }

        var configuration = new InvocationConfiguration
        {
            Output = output,
            Error = error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        return await parse.InvokeAsync(configuration, cancellationToken);
    }

    private static int Report(Exception exception, TextWriter error)
    {
        (int code, string text) = exception switch
        {
            OperationCanceledException => (ExitCode.Cancelled, "Cancelled."),
            InvalidModelException or UnsupportedModelException or NativeLibraryException or NotEnoughMemoryException
                => (ExitCode.CannotLoad, exception.Message),
            ArgumentException or ContextFullException => (ExitCode.Usage, exception.Message),
            AnnRuntimeException or InvalidOperationException or IOException or UnauthorizedAccessException
                => (ExitCode.Failed, exception.Message),
            _ => (ExitCode.Failed, exception.ToString()),
        };
        error.WriteLine(text);
        return code;
    }
}
