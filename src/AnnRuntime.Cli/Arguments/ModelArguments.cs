using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>Which model, and where it computes.</summary>
internal sealed class ModelArguments
{
    /// <summary>The embedded model, from the root of the checkout.</summary>
    public const string DefaultModel = "models/ann-rotated-d64-q8_0.gguf";

    private readonly Option<string?> _model = new("--model", "-m")
    {
        Description = $"A GGUF file. Default: {DefaultModel}, the model in this repository.",
        HelpName = "FILE",
    };

    private readonly Option<int?> _gpuLayers =
        Make.Integer("--gpu-layers", "Layers kept on GPUs. Default: all, where there is a GPU.", 0);

    private readonly Option<bool> _noMap = new("--no-mmap")
    {
        Description = "Reads the file instead of mapping it: then it may be overwritten while the program runs.",
    };

    public void AddTo(Command command)
    {
        command.Options.Add(_model);
        command.Options.Add(_gpuLayers);
        command.Options.Add(_noMap);
    }

    /// <summary>Loads the model that the command line names, with progress.</summary>
    public Task<AnnModel> LoadAsync(ParseResult parse, Terminal terminal, CancellationToken cancellationToken) =>
        LoadAsync(
            parse.GetValue(_model) ?? FindDefault(),
            new ModelOptions { GpuLayers = parse.GetValue(_gpuLayers), MemoryMap = !parse.GetValue(_noMap) },
            parse, terminal, cancellationToken);

    /// <summary>Loads a model with progress; messages of the native library go to stderr.</summary>
    public static async Task<AnnModel> LoadAsync(
        string path, ModelOptions options, ParseResult parse, Terminal terminal, CancellationToken cancellationToken)
    {
        Verbosity.Apply(parse, terminal);
        return await terminal.ProgressAsync($"Loading {Path.GetFileName(path)}", step =>
            AnnModel.LoadAsync(path, options, new Report(step), cancellationToken));
    }

    /// <summary>The embedded model: below the current directory, else in the checkout that holds this program.</summary>
    public static string FindDefault() => FindFile(DefaultModel);

    /// <summary>A file of the checkout: below the current directory, else in the checkout that holds this program.</summary>
    public static string FindFile(string file)
    {
        if (File.Exists(file))
        {
            return file;
        }

        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
        {
            string path = Path.Combine(parent.FullName, file);
            if (File.Exists(path))
            {
                return path;
            }
        }

        return file;
    }

    private sealed class Report(Action<double> step) : IProgress<float>
    {
        void IProgress<float>.Report(float value) => step(value);
    }
}
