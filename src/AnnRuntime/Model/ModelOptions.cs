using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>How a model is loaded. Mirrors <c>ann_model_params</c>.</summary>
public sealed record ModelOptions
{
    /// <summary>Layers kept on GPUs. Default null: all, where there is a GPU. 0: none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? GpuLayers
    {
        get;
        init => field = value is null or >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(GpuLayers), value, $"GpuLayers is {value}; it must be at least 0, or null for all.");
    }

    /// <summary>Index of the device of a model that is not split. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int MainGpu
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MainGpu), value, $"MainGpu is {value}; it must be at least 0.");
    }

    /// <summary>Spreads layers over all GPUs. Default true; false: all on <see cref="MainGpu"/>.</summary>
    public bool SplitLayers { get; init; } = true;

    /// <summary>Maps the file instead of reading it. Default true.</summary>
    public bool MemoryMap { get; init; } = true;

    /// <summary>Locks the weights in memory. Default false.</summary>
    public bool MemoryLock { get; init; }

    /// <summary>Validates tensor data while loading. Default false.</summary>
    public bool CheckTensors { get; init; }

    /// <summary>Loads tokenizer and metadata only. Default false.</summary>
    public bool VocabularyOnly { get; init; }

    /// <summary>The native form, callbacks apart.</summary>
    internal AnnModelParams ToNative()
    {
        AnnModelParams native = AnnModelParams.Default();
        native.NGpuLayers = GpuLayers ?? -1;
        native.MainGpu = MainGpu;
        native.SplitMode = SplitLayers ? 1 : 0;
        native.UseMmap = MemoryMap ? 1 : 0;
        native.UseMlock = MemoryLock ? 1 : 0;
        native.CheckTensors = CheckTensors ? 1 : 0;
        native.VocabOnly = VocabularyOnly ? 1 : 0;
        return native;
    }
}
