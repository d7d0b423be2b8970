using System.Globalization;
using System.Text.Json;

namespace AnnRuntime.Gguf;

/// <summary>What a file says about its search besides the projections; null: the file does not say.</summary>
public sealed record AnnSettings
{
    // in safetensors there is no architecture in front of the key
    private const string TopKText = "attention.indexer.top_k";

    private const int MaximumTopK = 1 << 20; // what the runtime accepts

    /// <summary>Cells attended per query. Default null; merging then writes 128.</summary>
    public int? TopK { get; init; }

    /// <summary><c>cosine</c> or <c>ip</c>. Default null, which a runtime reads as cosine.</summary>
    public string? Metric { get; init; }

    /// <summary>Dimensions that RoPE rotates. Default null: none.</summary>
    public int? RopeDimensions { get; init; }

    /// <summary>
    /// Base of the rotation's angles. Default null; merging then writes 10000 where dimensions are rotated.
    /// </summary>
    public float? RopeFrequencyBase { get; init; }

    /// <summary>Last visible cells that are always attended. Default null: none.</summary>
    public int? Window { get; init; }

    /// <summary>First visible cells that are always attended. Default null: none.</summary>
    public int? Sinks { get; init; }

    /// <summary>Where the projections come from. Default null.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>How the projections were trained. Default null.</summary>
    public string? Config { get; init; }

    /// <summary>Takes from <paramref name="fallback"/> whatever is null here.</summary>
    public AnnSettings Or(AnnSettings fallback) => new()
    {
        TopK = TopK ?? fallback.TopK,
        Metric = Metric ?? fallback.Metric,
        RopeDimensions = RopeDimensions ?? fallback.RopeDimensions,
        RopeFrequencyBase = RopeFrequencyBase ?? fallback.RopeFrequencyBase,
        Window = Window ?? fallback.Window,
        Sinks = Sinks ?? fallback.Sinks,
        Checkpoint = Checkpoint ?? fallback.Checkpoint,
        Config = Config ?? fallback.Config,
    };

    /// <summary>Checks the values against each other and against the projections.</summary>
    /// <param name="searchLength">Elements of a search vector.</param>
    /// <exception cref="ArgumentException">A value is out of range; the message names it.</exception>
    public void Check(int searchLength)
    {
        if (TopK is < 1 or > MaximumTopK)
        {
            throw new ArgumentException($"top-k is {TopK}; expected 1 to {MaximumTopK}.");
        }

        if (Metric is not (null or "cosine" or "ip"))
        {
            throw new ArgumentException($"metric is '{Metric}'; expected cosine or ip.");
        }

        if (RopeDimensions is { } n && (n < 0 || n > searchLength || n % 2 != 0))
        {
            throw new ArgumentException(
                $"rope-dims is {n}; expected an even number from 0 to d_search, which is {searchLength}.");
        }

        if (RopeFrequencyBase is { } f && !(float.IsFinite(f) && f > 1))
        {
            throw new ArgumentException(
                $"rope-freq-base is {f.ToString(CultureInfo.InvariantCulture)}; expected a finite number above 1.");
        }

        if (RopeFrequencyBase is not null && RopeDimensions is not > 0)
        {
            throw new ArgumentException("rope-freq-base is given, but rope-dims is 0: nothing would be rotated.");
        }

        if (Window is < 0 || Sinks is < 0)
        {
            throw new ArgumentException($"window is {Window} and sinks is {Sinks}; expected 0 or more.");
        }

        if ((long)(Window ?? 0) + (Sinks ?? 0) > (TopK ?? AnnContract.DefaultTopK))
        {
            throw new ArgumentException(
                $"window {Window ?? 0} and sinks {Sinks ?? 0} are more than top-k "
                    + $"{TopK ?? AnnContract.DefaultTopK}, which counts them in.");
        }
    }

    /// <summary>Reads the keys of a GGUF file.</summary>
    /// <exception cref="TensorFileException">A key holds a value of another type or range.</exception>
    public static AnnSettings FromGguf(GgufMetadata metadata, string architecture) => new()
    {
        TopK = Count(metadata, AnnContract.TopKKey(architecture)),
        Metric = metadata.GetString(AnnContract.MetricKey),
        RopeDimensions = Count(metadata, AnnContract.RopeDimensionsKey),
        RopeFrequencyBase = (float?)metadata.GetFloat(AnnContract.RopeFrequencyBaseKey),
        Window = Count(metadata, AnnContract.WindowKey),
        Sinks = Count(metadata, AnnContract.SinksKey),
        Checkpoint = metadata.GetString(AnnContract.CheckpointKey),
        Config = metadata.GetString(AnnContract.ConfigKey),
    };

    /// <summary>
    /// Reads the metadata texts of a safetensors file: the keys of this contract, or a training configuration.
    /// </summary>
    /// <param name="texts">The texts of <c>__metadata__</c>.</param>
    /// <param name="source">
    /// Path of the file; its name becomes the checkpoint of a file without keys of this contract.
    /// </param>
    /// <exception cref="TensorFileException">A text is not the number it must be.</exception>
    public static AnnSettings FromSafetensors(IReadOnlyDictionary<string, string> texts, string source)
    {
        if (!texts.ContainsKey(TopKText) && !texts.Keys.Any(k => k.StartsWith("ann_sparse.", StringComparison.Ordinal)))
        {
            AnnSettings found = texts.TryGetValue("config", out string? config) ? FromConfig(config) : new();
            return found with { Checkpoint = Path.GetFileName(source) };
        }

        return new AnnSettings
        {
            TopK = Count(texts, TopKText, source),
            Metric = texts.GetValueOrDefault(AnnContract.MetricKey),
            RopeDimensions = Count(texts, AnnContract.RopeDimensionsKey, source),
            RopeFrequencyBase = !texts.TryGetValue(AnnContract.RopeFrequencyBaseKey, out string? f) ? null
                : float.TryParse(f, NumberStyles.Float, CultureInfo.InvariantCulture, out float parsed) ? parsed
                : throw new TensorFileException(
                    source, -1, $"metadata {AnnContract.RopeFrequencyBaseKey} is '{f}'; expected a number"),
            Window = Count(texts, AnnContract.WindowKey, source),
            Sinks = Count(texts, AnnContract.SinksKey, source),
            Checkpoint = texts.GetValueOrDefault(AnnContract.CheckpointKey),
            Config = texts.GetValueOrDefault(AnnContract.ConfigKey),
        };
    }

    /// <summary>
    /// Reads a training configuration: top_k, metric (or a score that says inner product), rope, window, sinks; the
    /// whole text becomes <see cref="Config"/>. A text that is not JSON is kept as it is.
    /// </summary>
    public static AnnSettings FromConfig(string config)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(config);
            JsonElement root = json.RootElement;
            JsonElement rope = Member(root, "rope");
            return new AnnSettings
            {
                TopK = Integer(Member(root, "top_k")),
                Metric = Text(Member(root, "metric")) ?? MetricOfScore(Text(Member(root, "score"))),
                RopeDimensions = Integer(Member(rope, "dimension_count")),
                RopeFrequencyBase = Number(Member(rope, "freq_base")),
                Window = Integer(Member(root, "window")),
                Sinks = Integer(Member(root, "sinks")),
                Config = config,
            };
        }
        catch (JsonException)
        {
            return new AnnSettings { Config = config };
        }
    }

    /// <summary>The metadata texts of a safetensors file; <see cref="FromSafetensors"/> reads them back.</summary>
    public Dictionary<string, string> ToSafetensors()
    {
        Dictionary<string, string> texts = new(StringComparer.Ordinal) { ["format"] = "pt" };
        Add(TopKText, TopK);
        Add(AnnContract.MetricKey, Metric);
        Add(AnnContract.RopeDimensionsKey, RopeDimensions);
        Add(AnnContract.RopeFrequencyBaseKey, RopeFrequencyBase);
        Add(AnnContract.WindowKey, Window);
        Add(AnnContract.SinksKey, Sinks);
        Add(AnnContract.CheckpointKey, Checkpoint);
        Add(AnnContract.ConfigKey, Config);
        return texts;

        void Add(string key, object? value)
        {
            if (value is not null)
            {
                texts[key] = Convert.ToString(value, CultureInfo.InvariantCulture)!;
            }
        }
    }

    /// <summary>Adds the keys of this contract to the metadata of a GGUF file, those that are null excepted.</summary>
    internal void WriteTo(GgufMetadata metadata, string architecture, int searchLength, ReadOnlySpan<int> layers)
    {
        metadata[AnnContract.HeadCountKey(architecture)] = GgufValue.From(1u);
        metadata[AnnContract.KeyLengthKey(architecture)] = GgufValue.From((uint)searchLength);
        metadata[AnnContract.TopKKey(architecture)] = GgufValue.From((uint)(TopK ?? AnnContract.DefaultTopK));
        metadata[AnnContract.LayersKey] = GgufValue.FromArray(layers);
        Add(AnnContract.CheckpointKey, Checkpoint is { } c ? GgufValue.From(c) : null);
        Add(AnnContract.ConfigKey, Config is { } j ? GgufValue.From(j) : null);
        Add(AnnContract.MetricKey, Metric is { } m ? GgufValue.From(m) : null);
        Add(AnnContract.RopeDimensionsKey, RopeDimensions is { } d ? GgufValue.From((uint)d) : null);
        float? frequencyBase = RopeFrequencyBase ?? (RopeDimensions > 0 ? AnnContract.DefaultRopeFrequencyBase : null);
        Add(AnnContract.RopeFrequencyBaseKey, frequencyBase is { } f ? GgufValue.From(f) : null);
        Add(AnnContract.WindowKey, Window is { } w ? GgufValue.From((uint)w) : null);
        Add(AnnContract.SinksKey, Sinks is { } s ? GgufValue.From((uint)s) : null);

        void Add(string key, GgufValue? value)
        {
            if (value is not null)
            {
                metadata[key] = value;
            }
        }
    }

    private static int? Count(GgufMetadata metadata, string key) =>
        metadata.Contains(key) ? metadata.RequireInt32(key, 0, int.MaxValue) : null;

    private static int? Count(IReadOnlyDictionary<string, string> texts, string key, string source) =>
        !texts.TryGetValue(key, out string? text) ? null
            : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int n) ? n
            : throw new TensorFileException(source, -1, $"metadata {key} is '{text}'; expected a whole number from 0");

    private static JsonElement Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement member)
            ? member
            : default;

    private static string? MetricOfScore(string? score) =>
        score?.StartsWith("inner product", StringComparison.Ordinal) == true ? "ip" : null;

    private static float? Number(JsonElement element) =>
        element.ValueKind == JsonValueKind.Number ? element.GetSingle() : null;

    private static int? Integer(JsonElement element) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out int n) ? n : null;

    private static string? Text(JsonElement element) =>
        element.ValueKind == JsonValueKind.String ? element.GetString() : null;
}
