using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>merge and split are each other's inverse, byte for byte.</summary>
public sealed class ModelMergerTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_embedded_model_split_and_merged_is_the_same_file()
    {
        ModelFileReport split = ModelFiles.Split(
            RepositoryFiles.EmbeddedModel, _folder["p.safetensors"], _folder["base.gguf"]);
        ModelFileReport merged = ModelFiles.Merge(
            _folder["base.gguf"], _folder["p.safetensors"], _folder["again.gguf"]);

        Assert.Equal(File.ReadAllBytes(RepositoryFiles.EmbeddedModel), File.ReadAllBytes(_folder["again.gguf"]));
        Assert.Equal(Enumerable.Range(0, 12), split.SearchedLayers);
        Assert.Equal(split.Settings, merged.Settings);
        Assert.Equal((128, "cosine", 64, 1000000f, 32, 4), (
            merged.Settings.TopK, merged.Settings.Metric, merged.Settings.RopeDimensions,
            merged.Settings.RopeFrequencyBase, merged.Settings.Window, merged.Settings.Sinks));
        using GgufFile without = GgufFile.Open(_folder["base.gguf"]);
        Assert.Equal(134, without.Tensors.Count);
        Assert.DoesNotContain(
            without.Metadata,
            pair => pair.Key.Contains("indexer", StringComparison.Ordinal)
                || pair.Key.StartsWith("ann_", StringComparison.Ordinal));
    }

    [Fact]
    public void A_base_merged_and_split_is_the_same_file()
    {
        string model = Model("base.gguf");
        Projections("p.safetensors", [0, 2], 32, 256);
        ModelFiles.Merge(model, _folder["p.safetensors"], _folder["ann.gguf"]);
        ModelFiles.Split(_folder["ann.gguf"], _folder["q.safetensors"], _folder["again.gguf"]);
        ModelFiles.Merge(_folder["again.gguf"], _folder["q.safetensors"], _folder["ann2.gguf"]);

        Assert.Equal(File.ReadAllBytes(model), File.ReadAllBytes(_folder["again.gguf"]));
        Assert.Equal(File.ReadAllBytes(_folder["ann.gguf"]), File.ReadAllBytes(_folder["ann2.gguf"]));
    }

    [Fact]
    public void The_published_files_bring_their_settings()
    {
        ModelFiles.Split(RepositoryFiles.EmbeddedModel, _folder["p.safetensors"], _folder["base.gguf"]);

        ModelFileReport content = ModelFiles.Merge(
            _folder["base.gguf"], RepositoryFiles.ContentProjections, _folder["content.gguf"]);
        ModelFileReport rotated = ModelFiles.Merge(
            _folder["base.gguf"], RepositoryFiles.RotatedProjections128, _folder["rotated.gguf"]);

        Assert.Equal((64, "ip", 128, null, null), (
            content.SearchLength, content.Settings.Metric, content.Settings.TopK, content.Settings.RopeDimensions,
            content.Settings.Window));
        Assert.Equal((128, "cosine", 128, 128, 32, 4), (
            rotated.SearchLength, rotated.Settings.Metric, rotated.Settings.TopK, rotated.Settings.RopeDimensions,
            rotated.Settings.Window, rotated.Settings.Sinks));
        Assert.Equal("projections-content-d64.safetensors", content.Settings.Checkpoint);
        Assert.StartsWith("{\"d_search\": 64", content.Settings.Config);
    }

    [Fact]
    public void Options_choose_layers_and_override_settings()
    {
        string model = Model("base.gguf");
        Projections(
            "p.safetensors", [0, 1, 2, 3], 64, 256, new AnnSettings { Metric = "ip", Window = 9, Checkpoint = "file" });
        MergeOptions options = new()
        {
            Layers = "3,1",
            Settings = new AnnSettings
            {
                TopK = 64, Metric = "cosine", RopeDimensions = 32, RopeFrequencyBase = 500, Sinks = 2, Config = "how",
            },
        };

        ModelFiles.Merge(model, _folder["p.safetensors"], _folder["ann.gguf"], options);

        using GgufFile file = GgufFile.Open(_folder["ann.gguf"]);
        GgufMetadata m = file.Metadata;
        Assert.Equal(GgufValue.From(1u), m["qwen3.attention.indexer.head_count"]);
        Assert.Equal(GgufValue.From(64u), m["qwen3.attention.indexer.key_length"]);
        Assert.Equal(GgufValue.From(64u), m["qwen3.attention.indexer.top_k"]);
        Assert.Equal(GgufValue.FromArray<int>([1, 3]), m["ann_sparse.layers"]);
        Assert.Equal(GgufValue.From("cosine"), m["ann_sparse.metric"]);
        Assert.Equal(GgufValue.From(32u), m["ann_sparse.rope.dimension_count"]);
        Assert.Equal(GgufValue.From(500f), m["ann_sparse.rope.freq_base"]);
        Assert.Equal(GgufValue.From(9u), m["ann_sparse.window"]);
        Assert.Equal(GgufValue.From(2u), m["ann_sparse.sinks"]);
        Assert.Equal(GgufValue.From("file"), m["ann_sparse.checkpoint"]);
        Assert.Equal(GgufValue.From("how"), m["ann_sparse.config"]);
        string[] added = [.. file.Tensors.Select(t => t.Name).Where(AnnContract.IsSearchTensor)];
        Assert.Equal(
            [
                "blk.1.indexer.proj.weight", "blk.1.indexer.attn_k.weight",
                "blk.3.indexer.proj.weight", "blk.3.indexer.attn_k.weight",
            ],
            added);
        GgufTensor query = file.Find("blk.3.indexer.proj.weight")!;
        Assert.Equal(TensorType.F16, query.Type);
        Assert.Equal([256L, 64L], query.Dimensions);
        Assert.Equal(Numbers(3, 0, 64 * 256), file.ReadTensor(query));
    }

    [Fact]
    public void A_file_that_states_nothing_gets_nothing_but_what_the_contract_needs()
    {
        string model = Model("base.gguf");
        Projections("p.safetensors", [1], 32, 256, new AnnSettings { TopK = 128 });

        ModelFiles.Merge(model, _folder["p.safetensors"], _folder["ann.gguf"]);

        using GgufFile file = GgufFile.Open(_folder["ann.gguf"]);
        Assert.Equal(
            ["ann_sparse.layers"],
            file.Metadata.Select(p => p.Key).Where(k => k.StartsWith("ann_sparse.", StringComparison.Ordinal)));
    }

    [Fact]
    public void Upstreams_tensor_names_are_split_too()
    {
        string model = Model("base.gguf");
        using (GgufFile file = GgufFile.Open(model))
        {
            GgufMetadata metadata = new(file.Metadata) { ["qwen3.attention.indexer.key_length"] = GgufValue.From(32u) };
            File.WriteAllBytes(_folder["up.gguf"], GgufSamples.Bytes(metadata,
            [
                .. file.Tensors.Select(t => GgufTensorSource.Copy(file, t)),
                GgufTensorSource.FromMemory(
                    "blk.2.indexer.q_proj.weight", [256, 32], TensorType.BF16, new byte[256 * 32 * 2]),
                GgufTensorSource.FromMemory(
                    "blk.2.indexer.k_proj.weight", [256, 32], TensorType.BF16, new byte[256 * 32 * 2]),
            ]));
        }

        ModelFileReport report = ModelFiles.Split(_folder["up.gguf"], _folder["p.safetensors"], _folder["again.gguf"]);

        Assert.Equal([2], report.SearchedLayers);
        Assert.Equal(File.ReadAllBytes(model), File.ReadAllBytes(_folder["again.gguf"]));
        Assert.Equal([2], ProjectionSet.Load(_folder["p.safetensors"]).Layers.Keys);
    }

    [Fact]
    public void A_cancelled_merge_leaves_nothing_behind()
    {
        string model = Model("base.gguf");
        Projections("p.safetensors", [1], 32, 256);
        string[] before = _folder.Names;

        Assert.Throws<OperationCanceledException>(() => ModelMerger.Merge(
            model, _folder["p.safetensors"], _folder["ann.gguf"], new(), null, new CancellationToken(true)));

        Assert.Equal(before, _folder.Names);
    }

    internal static string Model(ScratchFolder folder, string name)
    {
        ModelFiles.Synth(folder[name], new SyntheticOptions { Shape = SyntheticShape.Of("tiny"), AnnLayers = "none" });
        return folder[name];
    }

    internal static void Projections(
        ScratchFolder folder, string name, int[] layers, int rows, int columns, AnnSettings? settings = null)
    {
        using FileStream stream = File.Create(folder[name]);
        SafetensorsWriter.Write(
            stream, settings?.ToSafetensors() ?? [],
            [.. layers.SelectMany(layer => new[]
            {
                Entry(ProjectionSet.QueryName(layer), layer, 0), Entry(ProjectionSet.KeyName(layer), layer, 1),
            })]);

        (string, IReadOnlyList<long>, TensorType, ReadOnlyMemory<byte>) Entry(string tensor, int layer, int which)
        {
            byte[] content = new byte[rows * columns * 4];
            TensorConverter.FromSingle(TensorType.F32, Numbers(layer, which, rows * columns), content);
            return (tensor, [rows, columns], TensorType.F32, content);
        }
    }

    // exact in f16
    internal static float[] Numbers(int layer, int which, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (((i * 7) + (layer * 3) + which) % 255 - 127) / 64f)];

    private string Model(string name) => Model(_folder, name);

    private void Projections(string name, int[] layers, int rows, int columns, AnnSettings? settings = null) =>
        Projections(_folder, name, layers, rows, columns, settings);
}
