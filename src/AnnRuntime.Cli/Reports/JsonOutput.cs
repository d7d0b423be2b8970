using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace AnnRuntime.Cli;

/// <summary>Writes JSON documents to stdout, with quotes and letters of other scripts as they are.</summary>
internal static class JsonOutput
{
    private static readonly CliJson Types = new(new JsonSerializerOptions(CliJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>Writes a document.</summary>
    public static void Write<T>(Terminal terminal, T report, Func<CliJson, JsonTypeInfo<T>> type) =>
        terminal.Output.WriteLine(JsonSerializer.Serialize(report, type(Types)));
}
