using System.Text.Encodings.Web;
using System.Text.Json;

namespace AnnRuntime.Cli;

/// <summary>A row as one line of JSON.</summary>
internal static class BenchLine
{
    private static readonly BenchJson Types = new(new JsonSerializerOptions(BenchJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>The names of all columns, in order.</summary>
    public static IReadOnlyList<string> Columns { get; } =
        [.. JsonSerializer.SerializeToElement(new BenchRow(), Types.BenchRow).EnumerateObject().Select(p => p.Name)];

    /// <summary>Writes a row.</summary>
    public static string Write(BenchRow row) => JsonSerializer.Serialize(row, Types.BenchRow);

    /// <summary>Reads a row.</summary>
    /// <exception cref="JsonException">The line is none.</exception>
    public static BenchRow Parse(string line) =>
        JsonSerializer.Deserialize(line, Types.BenchRow) ?? throw new JsonException("The line is null.");
}
