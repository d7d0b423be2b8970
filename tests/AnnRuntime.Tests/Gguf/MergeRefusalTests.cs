using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Whatever does not belong together is refused with a sentence, and nothing is written.</summary>
public sealed class MergeRefusalTests : IDisposable
{
    private readonly ScratchFolder _folder = new();
    private readonly string _model;

    public MergeRefusalTests() => _model = ModelMergerTests.Model(_folder, "base.gguf");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(32, 384, "the projections are [32, 384]; expected [d_search, 256], as n_embd of {base} is 256.")]
    [InlineData(
        256,
        32,
        "the projections are [256, 32]; expected [d_search, 256], as n_embd of {base} is 256; they look transposed.")]
    [InlineData(48, 256, "the projections are [48, 256]; expected d_search to be a multiple of 32 up to 1024.")]
    [InlineData(1056, 256, "the projections are [1056, 256]; expected d_search to be a multiple of 32 up to 1024.")]
    public void Other_shapes(int rows, int columns, string expected)
    {
        ModelMergerTests.Projections(_folder, "p.safetensors", [0], rows, columns);

        Assert.Equal(
            $"{_folder["p.safetensors"]}: {expected.Replace("{base}", _model, StringComparison.Ordinal)}",
            Refusal<TensorFileException>());
    }

    [Fact]
    public void Layers_that_do_not_exist()
    {
        ModelMergerTests.Projections(_folder, "p.safetensors", [0, 2], 32, 256);
        Assert.EndsWith(
            "there are no projections for layer 1; the file holds layers 0,2.",
            Refusal<TensorFileException>(new() { Layers = "0-2" }));
        Assert.Equal("Layers '4' do not lie in 0..3.", Refusal<ArgumentException>(new() { Layers = "4" }));
        Assert.Equal("Layers 'none' name no layer.", Refusal<ArgumentException>(new() { Layers = "none" }));

        ModelMergerTests.Projections(_folder, "p.safetensors", [4], 32, 256);
        Assert.EndsWith(
            "there are projections for layer 4; expected layers 0..3, as the model has 4.",
            Refusal<TensorFileException>());
    }

    [Theory]
    [InlineData(float.NaN, "NaN")]
    [InlineData(float.NegativeInfinity, "-Infinity")]
    [InlineData(1e6f, "1000000")]
    public void Numbers_that_are_not_finite_in_f16(float bad, string shown)
    {
        Write(
            ("projections.0.W_Qs.weight", [32, 256], i => i == 300 ? bad : 0),
            ("projections.0.W_Ks.weight", [32, 256], _ => 0));

        Assert.EndsWith(
            $"tensor projections.0.W_Qs.weight holds {shown} at [1, 44]; expected finite numbers that fit f16.",
            Refusal<TensorFileException>());
    }

    [Fact]
    public void Projections_that_do_not_belong_together()
    {
        Write(("projections.0.W_Qs.weight", [32, 256], _ => 0));
        Assert.EndsWith(
            "tensor projections.0.W_Ks.weight is missing; expected it beside projections.0.W_Qs.weight.",
            Refusal<TensorFileException>());

        Write(
            ("projections.1.W_Qs.weight", [32, 256], _ => 0),
            ("projections.1.W_Ks.weight", [32, 256], _ => 0),
            ("projections.0.W_Ks.weight", [32, 256], _ => 0));
        Assert.EndsWith(
            "tensor projections.0.W_Qs.weight is missing; expected it beside projections.0.W_Ks.weight.",
            Refusal<TensorFileException>());

        Write(("projections.0.W_Qs.weight", [32, 256], _ => 0), ("projections.0.W_Ks.weight", [64, 256], _ => 0));
        Assert.EndsWith(
            "tensor projections.0.W_Ks.weight has shape [64, 256]; expected [32, 256] as the first one.",
            Refusal<TensorFileException>());

        Write(("projections.0.W_Qs.weight", [8192], _ => 0), ("projections.0.W_Ks.weight", [8192], _ => 0));
        Assert.EndsWith(
            "tensor projections.0.W_Qs.weight has shape [8192]; expected [d_search, n_embd].",
            Refusal<TensorFileException>());

        Write(("lm_head.weight", [32, 256], _ => 0));
        Assert.EndsWith(
            "tensor lm_head.weight is not a search projection; expected projections.0.W_Qs.weight and "
                + "projections.0.W_Ks.weight.",
            Refusal<TensorFileException>());

        Write();
        Assert.EndsWith(
            "no search projections; expected tensors such as projections.0.W_Qs.weight and projections.0.W_Ks.weight.",
            Refusal<TensorFileException>());
    }

    [Theory]
    [InlineData("top-k", "top-k is 0; expected 1 to 1048576.")]
    [InlineData("metric", "metric is 'l2'; expected cosine or ip.")]
    [InlineData("odd", "rope-dims is 3; expected an even number from 0 to d_search, which is 32.")]
    [InlineData("many", "rope-dims is 64; expected an even number from 0 to d_search, which is 32.")]
    [InlineData("base", "rope-freq-base is NaN; expected a finite number above 1.")]
    [InlineData("no dims", "rope-freq-base is given, but rope-dims is 0: nothing would be rotated.")]
    [InlineData("negative", "window is -1 and sinks is ; expected 0 or more.")]
    [InlineData("too wide", "window 100 and sinks 29 are more than top-k 128, which counts them in.")]
    public void Settings_out_of_range(string which, string expected)
    {
        ModelMergerTests.Projections(_folder, "p.safetensors", [0], 32, 256);
        AnnSettings settings = which switch
        {
            "top-k" => new() { TopK = 0 },
            "metric" => new() { Metric = "l2" },
            "odd" => new() { RopeDimensions = 3 },
            "many" => new() { RopeDimensions = 64 },
            "base" => new() { RopeDimensions = 32, RopeFrequencyBase = float.NaN },
            "no dims" => new() { RopeFrequencyBase = 10000 },
            "negative" => new() { Window = -1 },
            _ => new() { Window = 100, Sinks = 29 },
        };

        Assert.Equal(expected, Refusal<ArgumentException>(new() { Settings = settings }));
    }

    [Fact]
    public void A_base_that_has_projections_or_is_no_whole_model()
    {
        ModelMergerTests.Projections(_folder, "p.safetensors", [0], 32, 256);
        ModelFiles.Merge(_model, _folder["p.safetensors"], _folder["ann.gguf"]);

        Assert.Equal(
            $"{_folder["ann.gguf"]}: the model already holds search projections (tensor blk.0.indexer.proj.weight); "
                + "'ann split' takes them out.",
            Refusal<TensorFileException>(null, _folder["ann.gguf"]));
        Assert.EndsWith(
            "key general.architecture is missing; expected a string.",
            Refusal<TensorFileException>(null, Bare("empty.gguf", new())));
        Assert.EndsWith(
            "this is one of 2 parts of a model (key split.count); expected a model in one file.",
            Refusal<TensorFileException>(null, Bare("part.gguf", With("split.count", GgufValue.From((ushort)2)))));
        Assert.EndsWith(
            "the model already describes a search (key ann_sparse.layers); 'ann split' takes it out.",
            Refusal<TensorFileException>(
                null, Bare("keys.gguf", With("ann_sparse.layers", GgufValue.FromArray<int>([0])))));

        static GgufMetadata With(string key, GgufValue value) =>
            new() { ["general.architecture"] = GgufValue.From("qwen3"), [key] = value };
    }

    [Fact]
    public void An_output_that_exists_or_is_an_input()
    {
        ModelMergerTests.Projections(_folder, "p.safetensors", [0], 32, 256);
        File.WriteAllText(_folder["ann.gguf"], "precious");

        Assert.Equal(
            $"{_folder["ann.gguf"]} exists; overwriting it must be asked for (--force).",
            Refusal<IOException>(null, null, "ann.gguf"));
        Assert.Equal("precious", File.ReadAllText(_folder["ann.gguf"]));
        Assert.Equal(
            $"{_folder["base.gguf"]} is an input; write to another file.",
            Refusal<IOException>(new() { Overwrite = true }, null, "base.gguf"));

        ModelFiles.Merge(_model, _folder["p.safetensors"], _folder["ann.gguf"], new MergeOptions { Overwrite = true });
        using GgufFile file = GgufFile.Open(_folder["ann.gguf"]);
        Assert.NotNull(file.Find("blk.0.indexer.attn_k.weight"));
    }

    [Fact]
    public void A_model_that_cannot_be_split()
    {
        Assert.EndsWith(
            "the model holds no search projections; expected tensors such as blk.0.indexer.proj.weight.",
            Split(_model));

        GgufTensorSource query = GgufTensorSource.FromMemory(
            "blk.0.indexer.proj.weight", [256, 32], TensorType.F16, new byte[16384]);
        GgufTensorSource key = query with { Name = "blk.0.indexer.attn_k.weight" };
        GgufMetadata metadata = new()
        {
            ["general.architecture"] = GgufValue.From("qwen3"),
            ["qwen3.block_count"] = GgufValue.From(4u),
            ["qwen3.embedding_length"] = GgufValue.From(256u),
            ["qwen3.attention.indexer.key_length"] = GgufValue.From(32u),
        };

        Assert.EndsWith(
            "tensor blk.0.indexer.attn_k.weight is missing; expected it beside blk.0.indexer.proj.weight.",
            Split(Bare("a.gguf", metadata, query)));
        Assert.Contains(
            "tensor blk.0.indexer.attn_k.weight has dimensions {32, 256}; expected {256, 32}",
            Split(Bare("b.gguf", metadata, query, key with { Dimensions = [32, 256] })));
        metadata["ann_sparse.layers"] = GgufValue.FromArray<int>([0, 1]);
        Assert.EndsWith(
            "key ann_sparse.layers lists layers 0,1, but there are projections for 0.",
            Split(Bare("c.gguf", metadata, query, key)));
        metadata["qwen3.attention.indexer.head_count"] = GgufValue.From(2u);
        Assert.EndsWith(
            "key qwen3.attention.indexer.head_count is 2; expected 1.", Split(Bare("d.gguf", metadata, query, key)));
    }

    private string Bare(string name, GgufMetadata metadata, params GgufTensorSource[] tensors)
    {
        File.WriteAllBytes(_folder[name], GgufSamples.Bytes(metadata, tensors));
        return _folder[name];
    }

    private string Split(string model) =>
        Assert.Throws<TensorFileException>(() => ModelFiles.Split(model, _folder["out.safetensors"])).Message;

    private string Refusal<T>(MergeOptions? options = null, string? model = null, string output = "out.gguf")
        where T : Exception
    {
        string[] before = _folder.Names;
        T e = Assert.Throws<T>(() => ModelFiles.Merge(
            model ?? _model, _folder["p.safetensors"], _folder[output], options ?? new MergeOptions()));
        Assert.Equal(before, _folder.Names);
        return e.Message;
    }

    private void Write(params (string Name, long[] Shape, Func<int, float> Number)[] tensors)
    {
        using FileStream stream = File.Create(_folder["p.safetensors"]);
        SafetensorsWriter.Write(stream, new Dictionary<string, string>(), [.. tensors.Select(t =>
        {
            int count = (int)t.Shape.Aggregate(1L, (a, b) => a * b);
            byte[] content = new byte[count * 4];
            TensorConverter.FromSingle(TensorType.F32, [.. Enumerable.Range(0, count).Select(t.Number)], content);
            return (t.Name, (IReadOnlyList<long>)t.Shape, TensorType.F32, (ReadOnlyMemory<byte>)content);
        })]);
    }
}
