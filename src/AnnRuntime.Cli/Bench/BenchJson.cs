using System.Text.Json.Serialization;

namespace AnnRuntime.Cli;

/// <summary>JSON of records and of the talk with the peer.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(BenchRow))]
[JsonSerializable(typeof(StockRequest))]
[JsonSerializable(typeof(StockAnswer))]
internal sealed partial class BenchJson : JsonSerializerContext;
