using System.Text.Json.Serialization;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>The JSON document that merge, split and synth write.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(ModelFileReport))]
internal sealed partial class FileJson : JsonSerializerContext;
