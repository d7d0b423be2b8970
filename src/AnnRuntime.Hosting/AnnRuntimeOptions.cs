using System.ComponentModel.DataAnnotations;

namespace AnnRuntime.Hosting;

/// <summary>A model and its engine in a host. A member that is null or left out takes the default of the type it goes to.</summary>
/// <remarks>Read from the section <c>AnnRuntime:NAME</c>; numbers, texts and names of enum members, whatever their case.</remarks>
public sealed class AnnRuntimeOptions : IValidatableObject
{
    /// <summary>The GGUF file, relative to the current directory. Required.</summary>
    public string? ModelPath { get; set; }

    /// <inheritdoc cref="ModelOptions.GpuLayers"/>
    public int? GpuLayers { get; set; }

    /// <inheritdoc cref="ModelOptions.MainGpu"/>
    public int MainGpu { get; set; }

    /// <inheritdoc cref="ModelOptions.SplitLayers"/>
    public bool SplitLayers { get; set; } = true;

    /// <inheritdoc cref="ModelOptions.MemoryMap"/>
    public bool MemoryMap { get; set; } = true;

    /// <inheritdoc cref="ModelOptions.MemoryLock"/>
    public bool MemoryLock { get; set; }

    /// <inheritdoc cref="ContextOptions.ContextLength"/>
    public int? ContextLength { get; set; }

    /// <summary>Answers computed at once, 1 to 256. Default 4.</summary>
    public int MaxSequences { get; set; } = 4;

    /// <inheritdoc cref="ContextOptions.BatchSize"/>
    public int BatchSize { get; set; } = 2048;

    /// <inheritdoc cref="ContextOptions.UbatchSize"/>
    public int UbatchSize { get; set; } = 512;

    /// <inheritdoc cref="ContextOptions.Threads"/>
    public int Threads { get; set; }

    /// <inheritdoc cref="ContextOptions.BatchThreads"/>
    public int BatchThreads { get; set; }

    /// <inheritdoc cref="ContextOptions.FlashAttention"/>
    public bool? FlashAttention { get; set; }

    /// <inheritdoc cref="ContextOptions.OffloadCache"/>
    public bool OffloadCache { get; set; } = true;

    /// <inheritdoc cref="ContextOptions.SearchMemory"/>
    public SearchMemory SearchMemory { get; set; }

    /// <inheritdoc cref="ContextOptions.CheckMemory"/>
    public bool CheckMemory { get; set; } = true;

    /// <inheritdoc cref="ContextOptions.KeyType"/>
    public CacheType KeyType { get; set; } = CacheType.F16;

    /// <inheritdoc cref="ContextOptions.ValueType"/>
    public CacheType ValueType { get; set; } = CacheType.F16;

    /// <inheritdoc cref="ContextOptions.SearchKeyType"/>
    public CacheType SearchKeyType { get; set; } = CacheType.F16;

    /// <inheritdoc cref="SearchOptions.Mode"/>
    public SearchMode? Mode { get; set; }

    /// <inheritdoc cref="SearchOptions.TopK"/>
    public int? TopK { get; set; }

    /// <inheritdoc cref="SearchOptions.Sinks"/>
    public int? Sinks { get; set; }

    /// <inheritdoc cref="SearchOptions.Window"/>
    public int? Window { get; set; }

    /// <inheritdoc cref="SearchOptions.Prefill"/>
    public PrefillMode Prefill { get; set; }

    /// <inheritdoc cref="SearchOptions.MinContext"/>
    public int? MinContext { get; set; }

    /// <inheritdoc cref="SearchOptions.Layers"/>
    public int[]? Layers { get; set; }

    /// <inheritdoc cref="SearchOptions.EfSearch"/>
    public int? EfSearch { get; set; }

    /// <inheritdoc cref="SearchOptions.IndexMinContext"/>
    public int IndexMinContext { get; set; }

    /// <inheritdoc cref="EngineOptions.QueueLimit"/>
    public int QueueLimit { get; set; } = 64;

    /// <inheritdoc cref="EngineOptions.PromptTokensPerStep"/>
    public int PromptTokensPerStep { get; set; } = 128;

    /// <inheritdoc cref="EngineOptions.MeasureEvery"/>
    public int MeasureEvery { get; set; }

    /// <inheritdoc cref="EmbeddingOptions.Pooling"/>
    public Pooling? Pooling { get; set; }

    /// <summary>Cells of the embeddings' context, the longest input. Default null: 8192, or the model's training length.</summary>
    public int? EmbeddingLength { get; set; }

    /// <summary>Computes a few tokens before the host has started. Default true.</summary>
    public bool WarmUp { get; set; } = true;

    /// <summary>How long a stopping host waits for running answers; what is left is then cancelled. Default 10 seconds.</summary>
    /// <remarks>The host's own limit (<c>HostOptions.ShutdownTimeout</c>, 30 seconds) holds as well.</remarks>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    internal ModelOptions ToModelOptions() => new()
    {
        GpuLayers = GpuLayers,
        MainGpu = MainGpu,
        SplitLayers = SplitLayers,
        MemoryMap = MemoryMap,
        MemoryLock = MemoryLock,
    };

    internal EngineOptions ToEngineOptions() => new()
    {
        Context = ToContextOptions(),
        QueueLimit = QueueLimit,
        PromptTokensPerStep = PromptTokensPerStep,
        MeasureEvery = MeasureEvery,
    };

    internal EmbeddingOptions ToEmbeddingOptions()
    {
        var defaults = new EmbeddingOptions();
        return defaults with
        {
            Pooling = Pooling,
            Context = ToContextOptions() with
            {
                ContextLength = EmbeddingLength,
                MaxSequences = defaults.Context.MaxSequences,
                BatchSize = defaults.Context.BatchSize,
            },
        };
    }

    private ContextOptions ToContextOptions() => new()
    {
        ContextLength = ContextLength,
        MaxSequences = MaxSequences,
        BatchSize = BatchSize,
        UbatchSize = UbatchSize,
        Threads = Threads,
        BatchThreads = BatchThreads,
        FlashAttention = FlashAttention,
        OffloadCache = OffloadCache,
        SearchMemory = SearchMemory,
        CheckMemory = CheckMemory,
        KeyType = KeyType,
        ValueType = ValueType,
        SearchKeyType = SearchKeyType,
        Search = new SearchOptions
        {
            Mode = Mode,
            TopK = TopK,
            Sinks = Sinks,
            Window = Window,
            Prefill = Prefill,
            MinContext = MinContext,
            Layers = Layers,
            EfSearch = EfSearch,
            IndexMinContext = IndexMinContext,
        },
    };

    /// <summary>One sentence for each wrong member: those of the types that the members go to.</summary>
    /// <param name="validationContext">Not read.</param>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        List<ValidationResult> problems = [];
        void Check(Func<object> make)
        {
            try
            {
                make();
            }
            catch (ArgumentException exception)
            {
                problems.Add(new ValidationResult(Sentence(exception)));
            }
        }

        if (!File.Exists(ModelPath))
        {
            problems.Add(new ValidationResult(string.IsNullOrEmpty(ModelPath)
                ? "ModelPath is missing; it must be the path of a GGUF file."
                : $"ModelPath is '{ModelPath}', which is no file (seen from {Directory.GetCurrentDirectory()}); it must be the path of a GGUF file."));
        }

        Check(() => new ModelOptions { GpuLayers = GpuLayers });
        Check(() => new ModelOptions { MainGpu = MainGpu });
        Check(() => new ContextOptions { ContextLength = ContextLength });
        Check(() => new ContextOptions { MaxSequences = MaxSequences });
        Check(() => new ContextOptions { BatchSize = BatchSize });
        Check(() => new ContextOptions { UbatchSize = UbatchSize });
        Check(() => new ContextOptions { Threads = Threads });
        Check(() => new ContextOptions { BatchThreads = BatchThreads });
        Check(() => new ContextOptions { KeyType = KeyType });
        Check(() => new ContextOptions { ValueType = ValueType });
        Check(() => new ContextOptions { SearchKeyType = SearchKeyType });
        Check(() => new ContextOptions { SearchMemory = SearchMemory });
        Check(() => new SearchOptions { Mode = Mode });
        Check(() => new SearchOptions { TopK = TopK });
        Check(() => new SearchOptions { Sinks = Sinks });
        Check(() => new SearchOptions { Window = Window });
        Check(() => new SearchOptions { Prefill = Prefill });
        Check(() => new SearchOptions { MinContext = MinContext });
        Check(() => new SearchOptions { EfSearch = EfSearch });
        Check(() => new SearchOptions { IndexMinContext = IndexMinContext });
        Check(() => new EngineOptions { QueueLimit = QueueLimit });
        Check(() => new EngineOptions { PromptTokensPerStep = PromptTokensPerStep });
        Check(() => new EngineOptions { MeasureEvery = MeasureEvery });
        Check(() => new EmbeddingOptions { Pooling = Pooling });
        if (EmbeddingLength < 1)
        {
            problems.Add(new ValidationResult($"EmbeddingLength is {EmbeddingLength}; it must be at least 1."));
        }

        if (DrainTimeout < TimeSpan.Zero)
        {
            problems.Add(new ValidationResult($"DrainTimeout is {DrainTimeout}; it must be at least 00:00:00, which cancels at once."));
        }

        if (problems.Count == 0)
        {
            Check(ToEngineOptions); // what members must be to each other
        }

        return problems;
    }

    // without what the framework appends: the parameter and, on another line, its value
    private static string Sentence(ArgumentException exception) =>
        exception.ParamName is { } name ? exception.Message.Split($" (Parameter '{name}')")[0] : exception.Message;
}
