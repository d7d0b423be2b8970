using System.Text.Json.Serialization;

namespace AnnRuntime;

/// <summary>What a checkpoint says besides its tensors.</summary>
internal sealed record TrainingState(int Step, TrainingOptions Options, string TextHash, IReadOnlyList<TrainingPoint> History);

/// <summary>How projections were trained: the provenance in the model file.</summary>
internal sealed record TrainingRecord(
    string Tool,
    string Base,
    int TopK,
    string Metric,
    RotationRecord? Rope,
    int Window,
    int Sinks,
    string Objective,
    int Steps,
    int WindowLength,
    int UpdatesPerWindow,
    int Queries,
    double LearningRate,
    int Seed,
    IReadOnlyList<string> Text,
    string TextSha256,
    int TextTokens,
    double HeldOutMass,
    IReadOnlyList<double> HeldOutMassPerLayer,
    double Seconds,
    string Device);

/// <summary>The rotation of a <see cref="TrainingRecord"/>, as merging reads it.</summary>
internal sealed record RotationRecord(int DimensionCount, float FreqBase);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(TrainingState))]
[JsonSerializable(typeof(TrainingRecord))]
internal sealed partial class TrainingJson : JsonSerializerContext;
