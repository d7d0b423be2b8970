using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace AnnRuntime.Evaluation;

/// <summary>Documents, indented, and the one-line entries of a journal.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(EvaluationDocument))]
[JsonSerializable(typeof(JournalHeader))]
[JsonSerializable(typeof(JournalLine))]
[JsonSerializable(typeof(TaskJournalLine))]
internal sealed partial class EvaluationJson : JsonSerializerContext
{
    /// <summary>Indented.</summary>
    public static EvaluationJson Documents => field ??= new(Settings(indented: true));

    /// <summary>One line each.</summary>
    public static EvaluationJson Lines => field ??= new(Settings(indented: false));

    private static JsonSerializerOptions Settings(bool indented) => new(Default.Options)
    {
        WriteIndented = indented,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}
