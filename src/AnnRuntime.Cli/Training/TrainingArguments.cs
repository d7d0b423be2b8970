using System.CommandLine;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli;

/// <summary>How projections are trained.</summary>
internal sealed class TrainingArguments
{
    private static readonly TrainingOptions Defaults = new();

    private readonly Option<string?> _layers = new("--layers")
    {
        Description = "Layers to train: all, or numbers and ranges such as 2,4,6 or 2-10. Default: all.",
        HelpName = "LIST",
    };

    private readonly Option<int> _searchLength =
        Make.Integer("--d-search", "Dims of a search vector, a multiple of 32.", 32, 1024, Defaults.SearchLength);

    private readonly Option<int?> _rotated =
        Make.Integer("--rope-dims", "Leading dims that are rotated by position; 0: none. Default: all.", 0, 1024);

    private readonly Option<float> _rotationBase = Make.Number(
        "--rope-base", "Base of the rotation; 0: that of the model's own attention.", 0, 1e12f, 0);

    private readonly Option<int> _window =
        Make.Integer("--window", "Last visible cells, always attended.", 1, 1 << 20, Defaults.Window);

    private readonly Option<int> _sinks =
        Make.Integer("--sinks", "First visible cells, always attended.", 0, 1 << 20, Defaults.Sinks);

    private readonly Option<int> _topK =
        Make.Integer("--top-k", "Cells attended in all: written to the file, and what mass is measured at.", 1, 1 << 20, Defaults.TopK);

    private readonly Option<string?> _objective = Make.Choice(
        "--objective",
        "direction: attention averaged over heads, by the direction of search keys. published: InfoNCE and KL against the "
            + "largest attention over heads. Default: direction.",
        "direction", "published");

    private readonly Option<int> _steps = Make.Integer("--steps", "Updates.", 1, int.MaxValue, Defaults.Steps);

    private readonly Option<int> _updates = Make.Integer(
        "--updates-per-window", "Updates made of one window of text.", 1, 1 << 16, Defaults.UpdatesPerWindow);

    private readonly Option<int> _queries = Make.Integer(
        "--queries", "Queries an update learns from; 0: the whole share of the window.", 0, 1 << 16, Defaults.Queries);

    private readonly Option<int> _length = Make.Integer(
        "--window-length",
        "Tokens of a window of text. Twice the contexts to be searched finds best, at most what the model was trained on.",
        64,
        1 << 16,
        Defaults.WindowLength,
        "-c");

    private readonly Option<bool> _pack = new("--pack")
    {
        Description = "End-of-text tokens end documents, which do not attend to each other.",
    };

    private readonly Option<float> _rate = Make.Number("--lr", "Peak learning rate.", 0, 1, Defaults.LearningRate);
    private readonly Option<int> _seed = Make.Integer("--seed", "First weights, windows and queries.", 0, int.MaxValue, Defaults.Seed);
    private readonly Option<int?> _threads = Make.Integer("--threads", "Default: physical cores.", 1, 512);

    private readonly Option<string?> _device = new("--device")
    {
        Description = "Where to compute: cpu, or a GPU's name such as CUDA0 ('ann doctor' lists them). Default: the first GPU, else cpu.",
        HelpName = "NAME",
    };

    private readonly Option<int> _heldOut =
        Make.Integer("--held-out", "Windows at the end of the text that are only measured.", 1, 1000, Defaults.HeldOutWindows);

    private readonly Option<int> _every =
        Make.Integer("--measure-every", "Updates between two measurements.", 1, int.MaxValue, Defaults.EvaluateEvery);

    private readonly Option<int> _patience =
        Make.Integer("--patience", "Stop after so many measurements without a better mass; 0: never.", 0, int.MaxValue, 0);

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[
            _layers, _searchLength, _rotated, _rotationBase, _window, _sinks, _topK, _objective, _steps, _updates, _queries,
            _length, _pack, _rate, _seed, _threads, _device, _heldOut, _every, _patience])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>How to load the model for the device that is named.</summary>
    /// <exception cref="ArgumentException">There is no such device.</exception>
    public ModelOptions ReadPlace(ParseResult parse)
    {
        if (parse.GetValue(_device) is not { } name)
        {
            return new ModelOptions();
        }

        if (name.Equals("cpu", StringComparison.OrdinalIgnoreCase))
        {
            return new ModelOptions { GpuLayers = 0 };
        }

        string[] gpus = [.. RuntimeInfo.Get().Backends.SelectMany(b => b.Devices).Where(d => d.Type == "gpu").Select(d => d.Name)];
        int index = Array.FindIndex(gpus, gpu => gpu.Equals(name, StringComparison.OrdinalIgnoreCase));
        return index >= 0
            ? new ModelOptions { SplitLayers = false, MainGpu = index }
            : throw new ArgumentException($"--device is {name}; expected one of: {string.Join(", ", gpus.Prepend("cpu"))}.");
    }

    public TrainingOptions Read(ParseResult parse, AnnModel model)
    {
        float rotationBase = parse.GetValue(_rotationBase);
        string? layers = parse.GetValue(_layers);
        return new TrainingOptions
        {
            Layers = layers is null or "all" ? null : LayerList.Parse(layers, model.Info.Layers),
            SearchLength = parse.GetValue(_searchLength),
            RotatedLength = parse.GetValue(_rotated),
            RotationBase = rotationBase == 0 ? null : rotationBase,
            Window = parse.GetValue(_window),
            Sinks = parse.GetValue(_sinks),
            TopK = parse.GetValue(_topK),
            Objective = parse.GetValue(_objective) == "published" ? TrainingObjective.Published : TrainingObjective.Direction,
            Steps = parse.GetValue(_steps),
            UpdatesPerWindow = parse.GetValue(_updates),
            Queries = parse.GetValue(_queries),
            WindowLength = parse.GetValue(_length),
            PackDocuments = parse.GetValue(_pack),
            LearningRate = parse.GetValue(_rate),
            Seed = parse.GetValue(_seed),
            Threads = parse.GetValue(_threads),
            Device = parse.GetValue(_device),
            HeldOutWindows = parse.GetValue(_heldOut),
            EvaluateEvery = parse.GetValue(_every),
            Patience = parse.GetValue(_patience),
        };
    }
}
