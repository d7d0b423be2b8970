using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Where a verb writes: results to stdout, progress and complaints to stderr.</summary>
internal sealed class Terminal(TextWriter output, TextWriter error)
{
    /// <summary>Results: text, tables or JSON.</summary>
    public TextWriter Output { get; } = output;

    /// <summary>Progress, notes and errors.</summary>
    public TextWriter Error { get; } = error;

    /// <summary>What the user types.</summary>
    public TextReader Input { get; } = Console.In;

    /// <summary>Tables on stdout; plain text where stdout is no terminal.</summary>
    public IAnsiConsole Screen { get; } = Create(output, ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected);

    /// <summary>Progress on stderr; nothing moves where stderr is no terminal.</summary>
    public IAnsiConsole Status { get; } = Create(error, ReferenceEquals(error, Console.Error) && !Console.IsErrorRedirected);

    private static IAnsiConsole Create(TextWriter writer, bool isTerminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = isTerminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = isTerminal ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        if (!isTerminal)
        {
            console.Profile.Width = 160;
        }

        return console;
    }
}
