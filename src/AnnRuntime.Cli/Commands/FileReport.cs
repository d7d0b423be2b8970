using System.Text.Encodings.Web;
using System.Text.Json;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>Runs a step that writes a model file, with progress, and tells what was written.</summary>
internal static class FileReport
{
    private static readonly FileJson Types = new(new JsonSerializerOptions(FileJson.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>Runs the step on another thread and writes its report, as text or as one JSON document.</summary>
    public static async Task<int> RunAsync(
        Terminal terminal, string title, bool json, Func<IProgress<ByteProgress>, ModelFileReport> step)
    {
        ModelFileReport report = await terminal.ProgressAsync(
            title, share => Task.Run(() => step(new Share(share))));
        terminal.Output.WriteLine(json ? JsonSerializer.Serialize(report, Types.ModelFileReport) : Text(report));
        return ExitCode.Ok;
    }

    private static string Text(ModelFileReport report)
    {
        string text = $"{report.Path}: {report.Architecture}, {report.TensorCount} tensors, {Format.Bytes(report.ByteCount)}";
        if (report.SearchedLayers.Count == 0)
        {
            return text;
        }

        AnnSettings s = report.Settings;
        string rotation = s.RopeDimensions > 0 ? $"{s.RopeDimensions} dims, base {s.RopeFrequencyBase}" : "none";
        return $"""
            {text}
            searched layers {string.Join(",", report.SearchedLayers)} of {report.LayerCount}, d_search {report.SearchLength}
            top-k {s.TopK}, metric {s.Metric ?? "cosine"}, rotation {rotation}, window {s.Window ?? 0}, sinks {s.Sinks ?? 0}
            """;
    }

    // unlike Progress<T> it reports at once, on the thread that writes
    private sealed class Share(Action<double> report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => report(value.Done / (double)value.Total);
    }
}
