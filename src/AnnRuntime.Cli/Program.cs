using System.CommandLine;
using AnnRuntime.Cli.Commands;

namespace AnnRuntime.Cli;

/// <summary>The entry point: a table of verbs.</summary>
internal static class Program
{
    /// <summary>Every verb, in the order of the help text.</summary>
    private static readonly Func<Command>[] Verbs =
    [
        DemoCommand.Create,
        InspectCommand.Create,
        GenerateCommand.Create,
        ChatCommand.Create,
        ServeCommand.Create,
        RecallCommand.Create,
        EvalCommand.Create,
        TokenizeCommand.Create,
        TrainCommand.Create,
        MergeCommand.Create,
        SplitCommand.Create,
        SynthCommand.Create,
        BenchCommand.Create,
        ReportCommand.Create,
        DoctorCommand.Create,
    ];

    public static async Task<int> Main(string[] args)
    {
        using var interrupt = new Interrupt();
        return await RunAsync(args, Console.Out, Console.Error, interrupt.Token);
    }

    /// <summary>Runs one command line. Tests call this.</summary>
    public static async Task<int> RunAsync(
        string[] args, TextWriter output, TextWriter error, CancellationToken cancellationToken = default)
    {
        var root = new RootCommand("Runs language models that attend only to the cells of the K/V cache that matter.");
        root.Options.Add(Verbosity.Option);
        foreach (Func<Command> create in Verbs)
        {
            root.Subcommands.Add(create());
        }

        return await Verb.InvokeAsync(root, args, output, error, cancellationToken);
    }
}
