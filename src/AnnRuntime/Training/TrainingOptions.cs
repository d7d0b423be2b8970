using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>How search projections are trained. Counts are checked by the library when training begins.</summary>
public sealed record TrainingOptions
{
    /// <summary>Layers to train. Default null: all.</summary>
    public IReadOnlyList<int>? Layers { get; init; }

    /// <summary>Dims of a search vector, a multiple of 32. Default 64.</summary>
    public int SearchLength { get; init; } = 64;

    /// <summary>Leading dims that are rotated by position. Default null: all. 0: none.</summary>
    public int? RotatedLength { get; init; }

    /// <summary>Base of the rotation's angles. Default null: that of the model's own attention.</summary>
    public float? RotationBase { get; init; }

    /// <summary>Last visible cells, always attended. Default 32.</summary>
    public int Window { get; init; } = 32;

    /// <summary>First visible cells, always attended. Default 4.</summary>
    public int Sinks { get; init; } = 4;

    /// <summary>Cells attended in all, which the held-out mass is measured at and the file will say. Default 128.</summary>
    public int TopK { get; init; } = 128;

    /// <summary>What is learned. Default <see cref="TrainingObjective.Direction"/>.</summary>
    public TrainingObjective Objective { get; init; }

    /// <summary>Updates of the weights. Default 300.</summary>
    public int Steps { get; init; } = 300;

    /// <summary>Updates made of one window, which is the costly part on a CPU. Default 4.</summary>
    public int UpdatesPerWindow { get; init; } = 4;

    /// <summary>Queries an update learns from; 0: the whole share of the window. Default 1024.</summary>
    public int Queries { get; init; } = 1024;

    /// <summary>
    /// Tokens of a window. Twice the contexts to be searched finds best, at most what the model was trained on. Default 4096.
    /// </summary>
    public int WindowLength { get; init; } = 4096;

    /// <summary>
    /// An end-of-text token ends a document: what comes after it attends to nothing before it. Default false: a window is one
    /// text, as the model is measured on.
    /// </summary>
    public bool PackDocuments { get; init; }

    /// <summary>Peak learning rate; it ends at a twentieth. Default 0.002.</summary>
    public float LearningRate { get; init; } = 2e-3f;

    /// <summary>Chooses first weights, windows and queries. Default 1.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Threads. Default null: physical cores.</summary>
    public int? Threads { get; init; }

    /// <summary>
    /// Where losses and gradients are computed: cpu, or a device's name as <see cref="RuntimeInfo"/> has it. The model computes
    /// where it was loaded. Default null: the first GPU that holds layers of the model, else cpu.
    /// </summary>
    public string? Device { get; init; }

    /// <summary>Windows at the end of the text that are held out. Default 2.</summary>
    public int HeldOutWindows { get; init; } = 2;

    /// <summary>Updates between two measurements of the held-out mass. Default 40.</summary>
    public int EvaluateEvery { get; init; } = 40;

    /// <summary>Stops after so many measurements in a row without a better mass; 0: never. Default 0.</summary>
    public int Patience { get; init; }

    internal AnnTrainParams ToNative()
    {
        AnnTrainParams native = AnnTrainParams.Default();
        native.NEmbdSearch = SearchLength;
        native.NRot = RotatedLength ?? -1;
        native.RopeFreqBase = RotationBase ?? 0;
        native.NWindow = Window;
        native.NSink = Sinks;
        native.NSteps = Steps;
        native.NWarmup = Math.Min(native.NWarmup, Steps / 5);
        native.NUpdates = UpdatesPerWindow;
        native.NQueries = Queries;
        native.NCtx = WindowLength;
        native.Pack = PackDocuments ? 1 : 0;
        native.LearningRate = LearningRate;
        native.LearningRateEnd = LearningRate / 20;
        native.Seed = (uint)Seed;
        native.NThreads = Threads ?? 0;
        if (Objective == TrainingObjective.Published)
        {
            (native.Kl, native.KlUnit, native.Contrastive, native.Teacher, native.ByMass) = (1, 0, 1, 1, 0);
        }

        return native;
    }
}
