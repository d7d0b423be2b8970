using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>What search and attention did since statistics were started.</summary>
public sealed record RetrievalStatistics
{
    /// <summary>Decode calls.</summary>
    public required long Decodes { get; init; }

    /// <summary>Tokens computed.</summary>
    public required long Tokens { get; init; }

    /// <summary>Wall time inside decode.</summary>
    public required TimeSpan DecodeTime { get; init; }

    /// <summary>Of it, in search. Zero without <see cref="StatisticsKinds.Time"/>.</summary>
    public required TimeSpan SearchTime { get; init; }

    /// <summary>Of it, in attention, of searched and reserved layers. Zero without <see cref="StatisticsKinds.Time"/>.</summary>
    public required TimeSpan AttentionTime { get; init; }

    /// <summary>Of it, everything else, mostly weights. Zero without <see cref="StatisticsKinds.Time"/>.</summary>
    public required TimeSpan OtherTime { get; init; }

    /// <summary>One entry per layer of the model.</summary>
    public required IReadOnlyList<LayerRetrieval> Layers { get; init; }

    /// <summary>Mean mass over the searched layers, 0..1; null when not measured.</summary>
    public double? Mass => Mean(layer => layer.Mass);

    /// <summary>Mean teacher recall over the searched layers, 0..1; null when not measured.</summary>
    public double? TeacherRecall => Mean(layer => layer.TeacherRecall);

    /// <summary>Mean index recall over the searched layers, 0..1; null when not measured.</summary>
    public double? IndexRecall => Mean(layer => layer.IndexRecall);

    /// <summary>Mean visible cells over the searched layers; null when none searched.</summary>
    public double? Visible => Mean(layer => layer.Visible);

    /// <summary>Mean attended cells over the searched layers; null when none searched.</summary>
    public double? Attended => Mean(layer => layer.Attended);

    internal static RetrievalStatistics FromNative(in AnnContextStats native, IReadOnlyList<LayerRetrieval> layers) => new()
    {
        Decodes = (long)native.NDecode,
        Tokens = (long)native.NTokens,
        DecodeTime = LayerRetrieval.Duration(native.DecodeNs),
        SearchTime = LayerRetrieval.Duration(native.SearchNs),
        AttentionTime = LayerRetrieval.Duration(native.AttentionNs),
        OtherTime = LayerRetrieval.Duration(native.OtherNs),
        Layers = layers,
    };

    private double? Mean(Func<LayerRetrieval, double?> value)
    {
        double sum = 0;
        int count = 0;
        foreach (LayerRetrieval layer in Layers)
        {
            if (layer.Searched && value(layer) is { } one)
            {
                sum += one;
                count++;
            }
        }

        return count == 0 ? null : sum / count;
    }
}
