using System.CommandLine;
using System.Globalization;
using AnnRuntime.Gguf;
using Spectre.Console;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>train</c>: learns search projections for a model and merges them into it.</summary>
internal static class TrainCommand
{
    private static readonly Option<string[]> Data = new("--data", "-d")
    {
        Description = "Text files, UTF-8. The last windows are held out, the others trained on.",
        Required = true,
        AllowMultipleArgumentsPerToken = true,
        HelpName = "FILE",
    };

    private static readonly Option<string> Output = new("--output", "-o")
    {
        Description = "GGUF to write.", Required = true, HelpName = "FILE",
    };

    private static readonly Option<string?> Projections = new("--projections")
    {
        Description = "Also keep the projections as safetensors.", HelpName = "FILE",
    };

    private static readonly Option<string?> Checkpoint = new("--checkpoint")
    {
        Description = "Checkpoint, written at every measurement and on Ctrl-C.", HelpName = "FILE",
    };

    private static readonly Option<bool> Resume = new("--resume") { Description = "Go on from the checkpoint." };

    private static readonly Option<string?> Plot = new("--plot")
    {
        Description = "Loss and held-out mass as SVG.", HelpName = "FILE",
    };

    private static readonly Option<bool> Force = new("--force") { Description = "Replace an existing output file." };
    private static readonly Option<bool> Json = JsonArgument.Create();

    public static Command Create()
    {
        Option<string> model = new("--model", "-m")
        {
            Description = "GGUF without search projections, of any quantisation; its tensors stay byte-identical.",
            Required = true,
            HelpName = "FILE",
        };
        var training = new TrainingArguments();
        Command command = new(
            "train", "Trains search projections for a model on text, and writes the model with them.")
        {
            model, Data, Output,
        };
        training.AddTo(command);
        foreach (Option option in (Option[])[Projections, Checkpoint, Resume, Plot, Force, Json])
        {
            command.Options.Add(option);
        }

        return command.Runs((parse, terminal, cancellationToken) =>
            RunAsync(parse, parse.GetRequiredValue(model), training, terminal, cancellationToken));
    }

    private static async Task<int> RunAsync(
        ParseResult parse, string basePath, TrainingArguments arguments, Terminal terminal, CancellationToken cancellationToken)
    {
        string output = parse.GetRequiredValue(Output);
        CheckFiles(parse, output);
        using AnnModel model = await ModelArguments.LoadAsync(
            basePath, arguments.ReadPlace(parse), parse, terminal, cancellationToken);
        if (model.Info.HasSearch)
        {
            throw new ArgumentException(
                $"{basePath} has search projections already; 'ann split {basePath} --base FILE -o FILE' takes them out.");
        }

        TrainingOptions options = arguments.Read(parse, model);
        TrainingText text = await terminal.ProgressAsync("Reading the text", share => Task.Run(
            () => TrainingText.Read(model, parse.GetRequiredValue(Data), new Reader(share), cancellationToken)));
        string projections = parse.GetValue(Projections) ?? $"{output}.{Environment.ProcessId}.projections";
        bool merged = false;
        try
        {
            var log = new TrainingLog(terminal.Error, options.TopK);
            TrainingResult result = await terminal.ProgressAsync("Training", share => Task.Run(() => TrainingRun.Run(
                model, text, options, projections, parse.GetValue(Checkpoint), parse.GetValue(Resume),
                log.Reporting(share), cancellationToken)));
            ModelFileReport report = await MergeAsync();
            if (parse.GetValue(Plot) is { } plot)
            {
                await File.WriteAllTextAsync(plot, Draw(result.History, options.TopK), cancellationToken);
            }

            Tell(terminal, parse.GetValue(Json), result, report, options, model.Info.Layers);
            return ExitCode.Ok;
        }
        finally
        {
            if (parse.GetValue(Projections) is null && merged)
            {
                File.Delete(projections);
            }
        }

        async Task<ModelFileReport> MergeAsync()
        {
            try
            {
                ModelFileReport report = await Task.Run(() => ModelMerger.Merge(
                    basePath, projections, output,
                    new MergeOptions { Settings = new AnnSettings { TopK = options.TopK }, Overwrite = parse.GetValue(Force) },
                    null, cancellationToken));
                merged = true;
                return report;
            }
            catch (Exception)
            {
                terminal.Error.WriteLine(
                    $"The trained projections are in {projections}; 'ann merge {basePath} {projections} -o FILE' makes the model of them.");
                throw;
            }
        }
    }

    // what can be refused is refused before hours of work
    private static void CheckFiles(ParseResult parse, string output)
    {
        if (Directory.Exists(output) || (File.Exists(output) && !parse.GetValue(Force)))
        {
            throw new ArgumentException($"{output} exists; overwriting it must be asked for (--force).");
        }

        string folder = Path.GetDirectoryName(Path.GetFullPath(output))!;
        if (!Directory.Exists(folder))
        {
            throw new ArgumentException($"The folder {folder} does not exist.");
        }

        foreach (string file in parse.GetRequiredValue(Data))
        {
            if (!File.Exists(file))
            {
                throw new ArgumentException($"The text file '{file}' does not exist.");
            }
        }

        if (parse.GetValue(Resume) && !File.Exists(parse.GetValue(Checkpoint)))
        {
            throw new ArgumentException("--resume needs a --checkpoint that exists.");
        }
    }

    private static void Tell(
        Terminal terminal, bool json, TrainingResult result, ModelFileReport report, TrainingOptions options, int layerCount)
    {
        TrainingPoint first = result.History[0];
        TrainingPoint last = result.History[^1];
        if (json)
        {
            JsonOutput.Write(
                terminal,
                new TrainReport(report.Path, options.TopK, result.Stopped, [.. result.History.Select(p => p with
                {
                    Loss = double.IsNaN(p.Loss) ? 0 : p.Loss,
                })]),
                types => types.TrainReport);
            return;
        }

        IReadOnlyList<int> layers = options.Layers ?? [.. Enumerable.Range(0, layerCount)];
        Table table = new Table().Border(TableBorder.Simple).AddColumns("layer", "mass before", "mass after");
        for (int i = 0; i < layers.Count; i++)
        {
            table.AddRow(
                layers[i].ToString(CultureInfo.InvariantCulture), Share(first.Mass[i]), Share(last.Mass[i]));
        }

        table.AddRow("mean", Share(first.MeanMass), Share(last.MeanMass));
        terminal.Screen.Write(table);
        terminal.Output.WriteLine(
            $"{last.Step} steps in {last.Seconds:0} s{(result.Stopped ? ", stopped early" : "")}; mass: share of the "
                + $"attention on {options.TopK} cells, held-out text");
        terminal.Output.WriteLine($"{report.Path}: {Format.Bytes(report.ByteCount)}");
    }

    private static string Share(double mass) => mass.ToString("0.000", CultureInfo.InvariantCulture);

    private static string Draw(IReadOnlyList<TrainingPoint> history, int topK)
    {
        var plot = new SvgPlot("Training of search projections", "updates", "");
        plot.Add("loss", false, history.Where(p => !double.IsNaN(p.Loss)).Select(p => ((double)p.Step, p.Loss)));
        plot.Add($"1 - mass@{topK}, held out", true, history.Select(p => ((double)p.Step, 1 - p.MeanMass)));
        return plot.Render();
    }

    private sealed class Reader(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
