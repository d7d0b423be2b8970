using System.CommandLine;
using System.Text.Json;
using Spectre.Console;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>inspect</c>: says what a model file is.</summary>
internal static class InspectCommand
{
    /// <summary>Longest value of a metadata row.</summary>
    private const int ValueLength = 100;

    public static Command Create()
    {
        Argument<string?> path = new("MODEL")
        {
            Description = $"A GGUF file. Default: {ModelArguments.DefaultModel}, the model in this repository.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Option<bool> all = new("--metadata") { Description = "Lists the file's metadata too." };
        Option<bool> json = JsonArgument.Create();
        Command command = new(
            "inspect",
            "Shows what a model file is: shape, searched and reserved layers, where its search projections come from, and "
            + "how much memory 1000 tokens take.")
        {
            path,
        };
        command.Options.Add(all);
        command.Options.Add(json);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            string file = parse.GetValue(path) ?? ModelArguments.FindDefault();
            using AnnModel model = await ModelArguments.LoadAsync(
                file, new ModelOptions { GpuLayers = 0 }, parse, terminal, cancellationToken);
            InspectReport report = Examine(model);
            if (parse.GetValue(json))
            {
                JsonOutput.Write(terminal, report, types => types.InspectReport);
            }
            else
            {
                Write(terminal, report, parse.GetValue(all));
            }

            return ExitCode.Ok;
        });
    }

    private static InspectReport Examine(AnnModel model)
    {
        ModelInfo info = model.Info;
        ModelDescription description = model.Describe();
        CacheBytesPerToken bytes = description.CacheBytesPerToken;
        SearchShapeReport? search = !info.HasSearch ? null : new SearchShapeReport(
            model.SearchedLayers,
            [.. Enumerable.Range(0, info.Layers).Except(model.SearchedLayers)],
            info.SearchLength,
            info.TopK,
            info.Sinks,
            info.Window,
            info.Metric == SearchMetric.Cosine ? "cosine" : "ip",
            info.RotatedLength,
            info.RotationBase,
            description.Search ?? new Dictionary<string, JsonElement>());
        return new InspectReport(
            model.Path,
            description.Description,
            description.Architecture,
            new ShapeReport(
                info.Layers, info.EmbeddingLength, info.Heads, info.KeyValueHeads, info.KeyLength, info.ValueLength,
                info.VocabularySize, info.TrainingLength, info.CanShift, info.Parameters, info.SizeBytes),
            search,
            new CacheReport(1000 * bytes.K, 1000 * bytes.V, 1000 * bytes.Search),
            description.Metadata);
    }

    private static void Write(Terminal terminal, InspectReport report, bool metadata)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(2)).AddColumn();
        void Row(string name, string value) => grid.AddRow(new Text(name), new Text(value));
        ShapeReport shape = report.Shape;
        Row("file", report.Path);
        Row("model", $"{report.Description} ({report.Architecture})");
        Row("size", $"{Format.Count(shape.Parameters)} parameters, {Format.Bytes(shape.SizeBytes)} of tensors");
        Row(
            "shape",
            $"{shape.Layers} layers, {shape.EmbeddingLength} dims, {shape.Heads} heads, {shape.HeadsKv} K/V heads of "
            + $"{shape.KeyLength}/{shape.ValueLength} dims, {Format.Count(shape.VocabularySize)} tokens, trained to "
            + $"{Format.Count(shape.TrainingLength)} tokens");
        if (report.Search is { } search)
        {
            Row("searched layers", string.Join(' ', search.SearchedLayers));
            Row("reserved layers", search.ReservedLayers.Count == 0 ? "none" : string.Join(' ', search.ReservedLayers));
            string rotation = search.RotatedLength > 0
                ? $"{search.RotatedLength} rotated by position, base {search.RotationBase}"
                : "not rotated";
            Row("search vectors", $"{search.SearchLength} dims, {search.Metric}, {rotation}");
            Row("cells per query", $"K {search.TopK}, of them {search.Sinks} sinks and {search.Window} in the window");
            foreach ((string name, JsonElement value) in search.Provenance)
            {
                if (name == "config" && TryParse(value) is { ValueKind: JsonValueKind.Object } config)
                {
                    foreach (JsonProperty part in config.EnumerateObject())
                    {
                        Row($"trained: {part.Name}", Cut(part.Value.ToString()));
                    }
                }
                else
                {
                    Row($"search: {name}", Cut(value.ToString()));
                }
            }
        }
        else
        {
            Row("search", "none: an ordinary model, attention is full");
        }

        CacheReport cache = report.CachePer1000Tokens;
        Row(
            "1000 tokens take",
            $"K {Format.Bytes(cache.KBytes)}, V {Format.Bytes(cache.VBytes)}, search keys {Format.Bytes(cache.SearchBytes)}");
        if (metadata)
        {
            foreach ((string key, string value) in report.Metadata.OrderBy(entry => entry.Key, StringComparer.Ordinal))
            {
                Row(key, Cut(value));
            }
        }

        terminal.Screen.Write(grid);
    }

    // the file holds the training's record as a JSON text, or as any text
    private static JsonElement TryParse(JsonElement text)
    {
        try
        {
            return JsonElement.Parse(text.ToString());
        }
        catch (JsonException)
        {
            return text;
        }
    }

    private static string Cut(string value) =>
        value.Length <= ValueLength ? value : $"{value[..ValueLength]}... ({value.Length} characters)";
}
