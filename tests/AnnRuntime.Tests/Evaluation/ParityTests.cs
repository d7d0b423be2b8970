using System.Runtime.InteropServices;
using System.Text.Json;
using AnnRuntime.Cli;
using AnnRuntime.Evaluation;
using AnnRuntime.Gguf;
using AnnRuntime.Tests.Cli;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>
/// Figures of the verbs against an independent PyTorch implementation in fp32 (models/recipe/reference.py): the first
/// 1024 tokens of the held-out text as one window, every query sparse.
/// </summary>
public sealed class ParityTests
{
    private const int Length = 1024;

    private static readonly JsonElement Window = Read();

    private static double DenseNll => Window.GetProperty("dense_nll").GetDouble();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Perplexity_gap_mass_and_recall_of_the_embedded_model()
    {
        using var folder = new ScratchFolder();
        EvaluationDocument all = await RunAsync(
            folder, ModelFixture.ModelPath, "ppl", "--variants", "dense,exact:64,exact:128,oracle:128", "--mass");
        CheckPerplexity(all.Variants![0]);
        CheckGap(all.Variants[2], Row("rotated", "all", 128, "own"));
        CheckGap(all.Variants[3], Row("oracle", "all", 128, "own"));
        CheckLayers(all.Variants[1], Row("rotated", "all", 64, "own"));
        CheckLayers(all.Variants[2], Row("rotated", "all", 128, "own"));
        CheckLayers(all.Variants[3], Row("oracle", "all", 128, "own"));

        // the same weights as f32: PyTorch rounds no activations, products with q8_0 do, which moves a gap of 6 % by 0.3
        string wide = folder["wide.gguf"];
        Widen(ModelFixture.ModelPath, wide);
        EvaluationDocument few = await RunAsync(folder, wide, "ppl", "--variants", "dense,exact:64");
        CheckPerplexity(few.Variants![0]);
        CheckGap(few.Variants[1], Row("rotated", "all", 64, "own"));

        EvaluationDocument pilot = await RunAsync(
            folder, ModelFixture.ModelPath, "ppl", "--variants", "dense,exact:128", "--mass", "--layers", "2,4,6,8");
        CheckGap(pilot.Variants![1], Row("rotated", "pilot", 128, "own"));

        EvaluationDocument layers = await RunAsync(folder, ModelFixture.ModelPath, "layers", "--top-k", "128");
        CheckLayers(layers.Variants![0], Row("rotated", "all", 128, "dense"));
        CheckLayers(layers.Variants[1], Row("oracle", "all", 128, "dense"));
    }

    [Fact]
    public async Task The_same_of_content_projections_ranked_by_inner_product()
    {
        using var folder = new ScratchFolder();
        string plain = folder["plain.gguf"], content = folder["content.gguf"];
        await CommandAsync("split", ModelFixture.ModelPath, "-o", folder["rotated.safetensors"], "--base", plain);
        await CommandAsync(
            "merge", plain, Path.Combine(ModelFixture.Root, "models", "projections", "projections-content-d64.safetensors"), "-o", content,
            "--metric", "ip");
        EvaluationDocument pilot = await RunAsync(
            folder, content, "ppl", "--variants", "dense,exact:256", "--sinks", "0", "--window", "0", "--layers", "2,4,6,8");
        CheckPerplexity(pilot.Variants![0]);
        CheckGap(pilot.Variants[1], Row("content", "pilot", 256, "own"));
        EvaluationDocument layers = await RunAsync(folder, content, "layers", "--top-k", "128", "--sinks", "0", "--window", "0");
        CheckLayers(layers.Variants![0], Row("content", "all", 128, "dense"));
    }

    private static void Widen(string path, string to)
    {
        using GgufFile file = GgufFile.Open(path);
        using FileStream output = File.Create(to);
        GgufWriter.Write(output, file.Metadata, [.. file.Tensors.Select(tensor => GgufTensorSource.FromMemory(
            tensor.Name, tensor.Dimensions, TensorType.F32, MemoryMarshal.AsBytes<float>(file.ReadTensor(tensor)).ToArray()))]);
    }

    private static void CheckPerplexity(VariantFigures dense) =>
        Assert.InRange(dense.Perplexity / Math.Exp(DenseNll), 0.998, 1.002);

    private static void CheckGap(VariantFigures figures, JsonElement row)
    {
        double expected = 100 * (Math.Exp(row.GetProperty("nll").GetDouble() - DenseNll) - 1);
        Assert.InRange(figures.GapPercent!.Value, expected - 0.3, expected + 0.3);
    }

    private static void CheckLayers(VariantFigures figures, JsonElement row)
    {
        Assert.Equal(12, figures.Layers.Count);
        foreach (WindowLayer layer in figures.Layers)
        {
            double mass = row.GetProperty("mass")[layer.Layer].GetDouble(), recall = row.GetProperty("recall_teacher")[layer.Layer].GetDouble();
            Assert.InRange(layer.Mass, mass - 0.01, mass + 0.01);
            Assert.InRange(layer.TeacherRecall, recall - 0.01, recall + 0.01);
        }
    }

    private static JsonElement Row(string search, string layers, int k, string trajectory) => Window.GetProperty("figures").EnumerateArray().Single(
        row => row.GetProperty("search").GetString() == search && row.GetProperty("layers").GetString() == layers
            && row.GetProperty("k").GetInt32() == k && row.GetProperty("trajectory").GetString() == trajectory);

    private static JsonElement Read()
    {
        string path = Path.Combine(ModelFixture.Root, "tests", "data", "reference-windows.json");
        return JsonDocument.Parse(File.ReadAllText(path)).RootElement.GetProperty("windows").EnumerateArray()
            .Single(window => window.GetProperty("length").GetInt32() == Length);
    }

    private static async Task<EvaluationDocument> RunAsync(ScratchFolder folder, string model, string verb, params string[] options)
    {
        string run = folder[$"run-{Path.GetFileNameWithoutExtension(model)}"];
        await CommandAsync(["eval", verb, "-m", model, "--length", $"{Length}", "--windows", "1", "--threads", "2", "--out", run, .. options]);
        return EvaluationDocument.Read(Path.Combine(run, $"{verb}.json"));
    }

    private static async Task CommandAsync(params string[] line)
    {
        (int code, _, string error) = await CommandLine.RunAsync(line, Token);
        Assert.True(code == ExitCode.Ok, error);
    }
}
