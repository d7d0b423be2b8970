using System.Text.Json.Serialization;

namespace AnnRuntime.Cli;

/// <summary>The JSON documents that verbs write.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true,
    WriteIndented = true)]
[JsonSerializable(typeof(GenerateReport))]
[JsonSerializable(typeof(InspectReport))]
[JsonSerializable(typeof(TrainReport))]
[JsonSerializable(typeof(RecallReport))]
[JsonSerializable(typeof(DoctorReport))]
[JsonSerializable(typeof(TokenizeReport))]
internal sealed partial class CliJson : JsonSerializerContext;
