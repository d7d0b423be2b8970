using System.CommandLine;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>split</c>: takes the search projections out of a GGUF.</summary>
internal static class SplitCommand
{
    public static Command Create()
    {
        Argument<string> model = new("MODEL") { Description = "GGUF with search projections." };
        Option<string> output = new("--output", "-o")
        {
            Description = "Safetensors file to write; merging it gives the same model.",
            Required = true,
            HelpName = "FILE",
        };
        Option<string?> baseModel = new("--base")
        {
            Description = "Also write the model without projections to this GGUF.", HelpName = "FILE",
        };
        Option<bool> force = new("--force") { Description = "Replace existing output files." };
        Option<bool> json = JsonArgument.Create();
        Command command = new("split", "Takes the search projections out of a GGUF model.")
        {
            model, output, baseModel, force, json,
        };
        return command.Runs((parse, terminal, cancellationToken) => FileReport.RunAsync(
            terminal,
            "splitting",
            parse.GetValue(json),
            progress => ModelSplitter.Split(
                parse.GetRequiredValue(model),
                parse.GetRequiredValue(output),
                parse.GetValue(baseModel),
                parse.GetValue(force),
                progress,
                cancellationToken)));
    }
}
