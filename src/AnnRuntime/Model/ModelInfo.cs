using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Shape of a model and of its search.</summary>
public sealed record ModelInfo
{
    /// <summary>Layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Dimensions of the hidden state.</summary>
    public required int EmbeddingLength { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>K/V heads of layer 0.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Dimensions of a key.</summary>
    public required int KeyLength { get; init; }

    /// <summary>Dimensions of a value.</summary>
    public required int ValueLength { get; init; }

    /// <summary>Tokens of the vocabulary.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Tokens of the longest training context.</summary>
    public required int TrainingLength { get; init; }

    /// <summary>Layers with search projections; 0: an ordinary model.</summary>
    public required int SearchedLayers { get; init; }

    /// <summary>Dimensions of a search vector, 0 without projections.</summary>
    public required int SearchLength { get; init; }

    /// <summary>The file's K: cells attended to per query, 0 without projections.</summary>
    public required int TopK { get; init; }

    /// <summary>The file's default of always attended first cells.</summary>
    public required int Sinks { get; init; }

    /// <summary>The file's default of always attended last cells.</summary>
    public required int Window { get; init; }

    /// <summary>How search vectors are compared.</summary>
    public required SearchMetric Metric { get; init; }

    /// <summary>Dimensions of a search vector that are rotated by position; 0: none.</summary>
    public required int RotatedLength { get; init; }

    /// <summary>Base frequency of that rotation.</summary>
    public required float RotationBase { get; init; }

    /// <summary>Whether positions can be shifted.</summary>
    public required bool CanShift { get; init; }

    /// <summary>Parameters.</summary>
    public required long Parameters { get; init; }

    /// <summary>Bytes of tensor data.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Whether the model has search projections.</summary>
    public bool HasSearch => SearchedLayers > 0;

    internal static ModelInfo FromNative(in AnnModelInfo native) => new()
    {
        Layers = native.NLayer,
        EmbeddingLength = native.NEmbd,
        Heads = native.NHead,
        KeyValueHeads = native.NHeadKv,
        KeyLength = native.NEmbdHeadK,
        ValueLength = native.NEmbdHeadV,
        VocabularySize = native.NVocab,
        TrainingLength = native.NCtxTrain,
        SearchedLayers = native.NLayerSearch,
        SearchLength = native.NEmbdSearch,
        TopK = native.TopK,
        Sinks = native.NSink,
        Window = native.NWindow,
        Metric = (SearchMetric)native.Metric,
        RotatedLength = native.NRotSearch,
        RotationBase = native.RopeFreqBaseSearch,
        CanShift = native.CanShift != 0,
        Parameters = (long)native.NParams,
        SizeBytes = (long)native.SizeBytes,
    };
}
