using System.CommandLine;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>merge</c>: base model and search projections become one GGUF.</summary>
internal static class MergeCommand
{
    public static Command Create()
    {
        Argument<string> model = new("BASE") { Description = "GGUF without search projections." };
        Argument<string> projections = new("PROJECTIONS")
        {
            Description = "Safetensors, or a PyTorch checkpoint, which is read without running any of it.",
        };
        Option<string> output = new("--output", "-o")
        {
            Description = "GGUF to write.",
            Required = true,
            HelpName = "FILE",
        };
        Option<string?> layers = new("--layers")
        {
            Description = "Layers to take: all, or numbers and ranges such as 2,4,6 or 2-10. Default: all the "
                + "file holds.",
            HelpName = "LIST",
        };
        SettingsArguments settings = new();
        Option<bool> force = new("--force") { Description = "Replace an existing output file." };
        Option<bool> json = JsonArgument.Create();
        Command command = new(
            "merge", "Puts search projections into a GGUF model; the base's tensors stay byte-identical.")
        {
            model, projections, output, layers,
        };
        settings.AddTo(command);
        command.Options.Add(force);
        command.Options.Add(json);
        return command.Runs((parse, terminal, cancellationToken) => FileReport.RunAsync(
            terminal,
            "merging",
            parse.GetValue(json),
            progress => ModelMerger.Merge(
                parse.GetRequiredValue(model),
                parse.GetRequiredValue(projections),
                parse.GetRequiredValue(output),
                new MergeOptions
                {
                    Layers = parse.GetValue(layers),
                    Settings = settings.Read(parse),
                    Overwrite = parse.GetValue(force),
                },
                progress,
                cancellationToken)));
    }
}
