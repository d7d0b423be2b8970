using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

public sealed class SyntheticModelTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(TensorType.F16, 1u)]
    [InlineData(TensorType.Q8_0, 7u)]
    [InlineData(TensorType.Q4_0, 2u)]
    public void The_tiny_shape_has_its_tensors(TensorType type, uint fileType)
    {
        ModelFileReport report = ModelFiles.Synth(
            _folder["tiny.gguf"], Options(type) with { AnnLayers = "reserve:2", SearchLength = 64 });

        using GgufFile file = GgufFile.Open(_folder["tiny.gguf"]);
        (string, string, TensorType)[] block =
        [
            ("attn_norm", "{256}", TensorType.F32), ("attn_q", "{256, 256}", type), ("attn_k", "{256, 128}", type),
            ("attn_v", "{256, 128}", type), ("attn_output", "{256, 256}", type),
            ("attn_q_norm", "{64}", TensorType.F32), ("attn_k_norm", "{64}", TensorType.F32),
            ("ffn_norm", "{256}", TensorType.F32), ("ffn_gate", "{256, 512}", type),
            ("ffn_up", "{256, 512}", type), ("ffn_down", "{512, 256}", type),
        ];
        (string, string, TensorType)[] expected =
        [
            ("token_embd.weight", "{256, 512}", type),
            .. Enumerable.Range(0, 4).SelectMany(
                i => block.Select(t => ($"blk.{i}.{t.Item1}.weight", t.Item2, t.Item3))),
            ("output_norm.weight", "{256}", TensorType.F32),
            .. new[] { 1, 2 }.SelectMany(i => new[]
            {
                ($"blk.{i}.indexer.proj.weight", "{256, 64}", TensorType.F16),
                ($"blk.{i}.indexer.attn_k.weight", "{256, 64}", TensorType.F16),
            }),
        ];
        Assert.Equal(expected, file.Tensors.Select(t => (t.Name, t.Shape, t.Type)));
        Assert.Equal(file.Tensors.Max(t => t.Offset + t.ByteCount), report.ByteCount);
        Assert.Equal([1, 2], report.SearchedLayers);
        Assert.Equal(GgufValue.From(fileType), file.Metadata["general.file_type"]);
        Assert.Equal("tiny (random weights, for speed only)", file.Metadata.GetString("general.name"));
        Assert.Equal(GgufValue.FromArray<int>([1, 2]), file.Metadata["ann_sparse.layers"]);
    }

    [Theory]
    [InlineData(TensorType.F16)]
    [InlineData(TensorType.Q8_0)]
    [InlineData(TensorType.Q4_0)]
    public void Weights_are_random_numbers_of_deviation_one_fiftieth(TensorType type)
    {
        ModelFiles.Synth(_folder["tiny.gguf"], Options(type));
        using GgufFile file = GgufFile.Open(_folder["tiny.gguf"]);
        float[] weights = file.ReadTensor(file.Find("blk.2.ffn_up.weight")!);
        float[] projection = file.ReadTensor(file.Find("blk.2.indexer.proj.weight")!);

        double step = type == TensorType.Q4_0 ? 0.5 * 0.02 / 4.6 : 0; // q4_0 counts from -8 to 7
        Assert.InRange(weights.Average(w => (double)w) + step, -3e-4, 3e-4);
        Assert.InRange(Math.Sqrt(weights.Average(w => (double)w * w)), 0.0195, 0.0205);
        Assert.InRange(Math.Sqrt(projection.Average(w => (double)w * w)), 0.0195, 0.0205);
        Assert.All(file.ReadTensor(file.Find("output_norm.weight")!), w => Assert.Equal(1, w));
        if (type == TensorType.Q8_0)
        {
            byte[] content = new byte[file.Find("token_embd.weight")!.ByteCount];
            file.ReadTensor(file.Find("token_embd.weight")!, 0, content);
            Assert.DoesNotContain(content.Chunk(34).SelectMany(block => block[2..]), b => b == 0x80);
        }
    }

    [Fact]
    public void The_seed_decides_the_file()
    {
        ModelFiles.Synth(_folder["a.gguf"], Options(TensorType.Q8_0) with { Seed = 7 });
        ModelFiles.Synth(_folder["b.gguf"], Options(TensorType.Q8_0) with { Seed = 7 });
        ModelFiles.Synth(_folder["c.gguf"], Options(TensorType.Q8_0) with { Seed = 8 });

        Assert.Equal(File.ReadAllBytes(_folder["a.gguf"]), File.ReadAllBytes(_folder["b.gguf"]));
        using GgufFile a = GgufFile.Open(_folder["a.gguf"]);
        using GgufFile c = GgufFile.Open(_folder["c.gguf"]);
        Assert.NotEqual(a.ReadTensor(a.Find("blk.0.attn_q.weight")!), c.ReadTensor(c.Find("blk.0.attn_q.weight")!));
        Assert.NotEqual(a.ReadTensor(a.Find("blk.0.attn_k.weight")!), a.ReadTensor(a.Find("blk.1.attn_k.weight")!));
    }

    // parameters of the published models: their own cards, counted from config.json
    [Theory]
    [InlineData("qwen3-0.6b", 596_049_920)]
    [InlineData("qwen3-4b", 4_022_468_096)]
    [InlineData("qwen3-8b", 8_190_735_360)]
    [InlineData("llama3-8b", 8_030_261_248)]
    public void A_published_shape_has_its_parameters(string name, long parameters)
    {
        SyntheticOptions options = new() { Shape = SyntheticShape.Of(name), AnnLayers = "none" };

        Assert.Equal(
            parameters, SyntheticModel.BuildTensors(options, []).Sum(t => t.Dimensions.Aggregate(1L, (a, b) => a * b)));
    }

    [Fact]
    public void The_vocabulary_has_every_byte_and_no_token_twice()
    {
        ModelFiles.Synth(_folder["tiny.gguf"], Options(TensorType.Q4_0) with { AnnLayers = "none" });
        using GgufFile file = GgufFile.Open(_folder["tiny.gguf"]);
        Assert.True(file.Metadata["tokenizer.ggml.tokens"].TryGetStrings(out string[] tokens));

        Assert.Equal(512, tokens.Length);
        Assert.Equal(512, tokens.Distinct().Count());
        Assert.Equal(
            ["Ā", "A", "Ġ", "Ċ", "~", "ġ", "ÿ", "Ń", "Ġw300", "<|endoftext|>"],
            new[] { 0, 65, 32, 10, 126, 127, 255, 173, 300, 511 }.Select(i => tokens[i]));
        Assert.DoesNotContain(file.Metadata, pair => pair.Key.StartsWith("ann_", StringComparison.Ordinal));
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        Assert.Equal(
            "There is no shape 'gpt5'; expected qwen3-0.6b, qwen3-4b, qwen3-8b, llama3-8b, tiny.",
            Assert.Throws<ArgumentException>(() => SyntheticShape.Of("gpt5")).Message);
        Assert.Equal("type is BF16; expected F16, Q8_0 or Q4_0.", Refusal(Options(TensorType.BF16)));
        Assert.Equal(
            "d-search is 100; expected a multiple of 32 up to 1024.",
            Refusal(Options(TensorType.F16) with { SearchLength = 100 }));
        Assert.Equal("Layers '9' do not lie in 0..3.", Refusal(Options(TensorType.F16) with { AnnLayers = "9" }));
        Assert.Equal(
            "context length is 0; expected at least 1.", Refusal(Options(TensorType.F16) with { ContextLength = 0 }));
        Assert.Equal(
            "window 200 and sinks 0 are more than top-k 128, which counts them in.",
            Refusal(Options(TensorType.F16) with { Settings = new() { Window = 200 } }));
        Assert.Empty(_folder.Names);
    }

    private static SyntheticOptions Options(TensorType type) =>
        new() { Shape = SyntheticShape.Of("tiny"), Type = type };

    private string Refusal(SyntheticOptions options) =>
        Assert.Throws<ArgumentException>(() => ModelFiles.Synth(_folder["x.gguf"], options)).Message;
}
