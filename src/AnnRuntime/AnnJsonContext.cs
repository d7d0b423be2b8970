using System.Text.Json;
using System.Text.Json.Serialization;

namespace AnnRuntime;

/// <summary>The JSON that crosses the native boundary.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    NumberHandling = JsonNumberHandling.AllowReadingFromString)]
[JsonSerializable(typeof(ModelDescription))]
[JsonSerializable(typeof(ChatRequest))]
[JsonSerializable(typeof(ChatPrompt))]
[JsonSerializable(typeof(ChatMessage))]
[JsonSerializable(typeof(RuntimeInfo))]
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class AnnJsonContext : JsonSerializerContext;
