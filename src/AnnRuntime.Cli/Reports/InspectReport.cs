using System.Text.Json;

namespace AnnRuntime.Cli;

/// <summary>What <c>inspect --json</c> writes.</summary>
internal sealed record InspectReport(
    string Path,
    string Description,
    string Architecture,
    ShapeReport Shape,
    SearchShapeReport? Search,
    CacheReport CachePer1000Tokens,
    IReadOnlyDictionary<string, string> Metadata);

/// <summary>Shape of the model.</summary>
internal sealed record ShapeReport(
    int Layers, int EmbeddingLength, int Heads, int HeadsKv, int KeyLength, int ValueLength, int VocabularySize,
    int TrainingLength, bool CanShift, long Parameters, long SizeBytes);

/// <summary>Shape and origin of the search.</summary>
internal sealed record SearchShapeReport(
    IReadOnlyList<int> SearchedLayers,
    IReadOnlyList<int> ReservedLayers,
    int SearchLength,
    int TopK,
    int Sinks,
    int Window,
    string Metric,
    int RotatedLength,
    float RotationBase,
    IReadOnlyDictionary<string, JsonElement> Provenance);

/// <summary>Bytes that 1000 tokens take in the caches, at f16.</summary>
internal sealed record CacheReport(double KBytes, double VBytes, double SearchBytes);
