using System.CommandLine;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>synth</c>: a model of random weights in the shape of a published one.</summary>
internal static class SynthCommand
{
    public static Command Create()
    {
        Option<string> shape = new("--shape")
        {
            Description = $"One of {string.Join(", ", SyntheticShape.All.Select(s => s.Name))}.",
            Required = true,
            HelpName = "NAME",
        };
        Option<string?> quant = Make.Choice("--quant", "Type of all matrices. Default: q8_0.", "f16", "q8_0", "q4_0");
        Option<string> layers = new("--ann-layers")
        {
            Description = "Layers with search projections: all, none, numbers and ranges such as 2,4-6, or "
                + "reserve:N, all but N that lie evenly.",
            HelpName = "LIST",
            DefaultValueFactory = _ => "all",
        };
        Option<int> searchLength = Make.Integer(
            "--d-search", "Elements of a search vector, a multiple of 32.", 32, 1024, 128);
        Option<int> context = Make.Integer(
            "--ctx", "Context length in tokens that the file declares.", 1, int.MaxValue, 262144);
        Option<ulong> seed = new("--seed")
        {
            Description = "Same options and seed, same file. Default: 0.",
            HelpName = "N",
        };
        SettingsArguments settings = new();
        Option<string> output = new("--output", "-o")
        {
            Description = "GGUF to write.",
            Required = true,
            HelpName = "FILE",
        };
        Option<bool> force = new("--force") { Description = "Replace an existing output file." };
        Option<bool> json = JsonArgument.Create();
        Command command = new(
            "synth", "Writes a model of random weights in the shape of a published one, for measuring speed only.")
        {
            shape, quant, layers, searchLength, context, seed,
        };
        settings.AddTo(command);
        command.Options.Add(output);
        command.Options.Add(force);
        command.Options.Add(json);
        return command.Runs((parse, terminal, cancellationToken) => FileReport.RunAsync(
            terminal,
            "writing",
            parse.GetValue(json),
            progress => SyntheticModel.Write(
                parse.GetRequiredValue(output),
                new SyntheticOptions
                {
                    Shape = SyntheticShape.Of(parse.GetRequiredValue(shape)),
                    Type = TypeOf(parse.GetValue(quant)),
                    AnnLayers = parse.GetRequiredValue(layers),
                    SearchLength = parse.GetValue(searchLength),
                    Settings = settings.Read(parse),
                    ContextLength = parse.GetValue(context),
                    Seed = parse.GetValue(seed),
                    Overwrite = parse.GetValue(force),
                },
                progress,
                cancellationToken)));
    }

    private static TensorType TypeOf(string? quant) => quant switch
    {
        "f16" => TensorType.F16,
        "q4_0" => TensorType.Q4_0,
        _ => TensorType.Q8_0,
    };
}
