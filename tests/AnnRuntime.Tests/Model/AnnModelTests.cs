using Xunit;

namespace AnnRuntime.Tests.Model;

public sealed class AnnModelTests(ModelFixture fixture)
{
    [Fact]
    public void The_embedded_model_is_what_its_card_says()
    {
        ModelInfo info = fixture.Model.Info;
        Assert.Equal((12, 384, 6, 2, 64, 8192, 16384), (
            info.Layers, info.EmbeddingLength, info.Heads, info.KeyValueHeads, info.KeyLength, info.VocabularySize,
            info.TrainingLength));
        Assert.Equal((12, 64, 128, 4, 32), (info.SearchedLayers, info.SearchLength, info.TopK, info.Sinks, info.Window));
        Assert.Equal((SearchMetric.Cosine, 64, 1000000f), (info.Metric, info.RotatedLength, info.RotationBase));
        Assert.Equal(Enumerable.Range(0, 12), fixture.Model.SearchedLayers);
    }

    [Fact]
    public void The_description_names_architecture_metadata_and_bytes()
    {
        ModelDescription description = fixture.Model.Describe();
        Assert.Equal("qwen3", description.Architecture);
        Assert.Equal("64", description.Metadata["qwen3.attention.indexer.key_length"]);
        Assert.NotNull(description.Search);
        // 12 layers, 2 K/V heads of 64 values, 64 search values, 2 bytes each
        Assert.Equal(new CacheBytesPerToken(3072, 3072, 1536), description.CacheBytesPerToken);
    }

    [Fact]
    public async Task Progress_ends_at_one()
    {
        var seen = new List<float>();
        using AnnModel model = await AnnModel.LoadAsync(
            ModelFixture.ModelPath, progress: new Direct<float>(seen.Add),
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.NotEmpty(seen);
        Assert.Equal(1f, seen[^1]);
        Assert.Equal(seen.Order(), seen);
    }

    [Fact]
    public async Task A_load_is_cancelled_by_its_token()
    {
        using var source = new CancellationTokenSource();
        var exception = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => AnnModel.LoadAsync(
            ModelFixture.ModelPath, progress: new Direct<float>(_ => source.Cancel()), cancellationToken: source.Token));
        Assert.Equal(source.Token, exception.CancellationToken);
    }

    [Fact]
    public async Task What_a_progress_handler_throws_ends_the_load()
    {
        var exception = await Assert.ThrowsAsync<InvalidTimeZoneException>(() => AnnModel.LoadAsync(
            ModelFixture.ModelPath, progress: new Direct<float>(_ => throw new InvalidTimeZoneException("mine")),
            cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("mine", exception.Message);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        var exception = Assert.Throws<InvalidModelException>(() => AnnModel.Load("/no/such/model.gguf"));
        Assert.Equal("The model file '/no/such/model.gguf' does not exist.", exception.Message);
        Assert.Contains("is a directory", Assert.Throws<InvalidModelException>(() => AnnModel.Load("/")).Message);
        Assert.Throws<ArgumentException>(() => AnnModel.Load(""));
    }

    [Theory]
    [InlineData(0.001)]
    [InlineData(0.1)]
    [InlineData(0.5)]
    [InlineData(0.99)]
    public void A_truncated_file_is_refused(double share)
    {
        byte[] whole = File.ReadAllBytes(ModelFixture.ModelPath);
        using var file = new TemporaryFile(whole[..(int)(whole.Length * share)]);
        var exception = Assert.Throws<InvalidModelException>(() => AnnModel.Load(file.Path));
        Assert.NotEmpty(exception.Message);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(100_000)]
    public void Random_bytes_are_refused(int length)
    {
        byte[] bytes = new byte[length];
        new Random(7).NextBytes(bytes);
        using var file = new TemporaryFile(bytes);
        Assert.Throws<InvalidModelException>(() => AnnModel.Load(file.Path));
    }

    [Fact]
    public void Random_bytes_behind_a_right_beginning_are_refused()
    {
        byte[] bytes = File.ReadAllBytes(ModelFixture.ModelPath)[..200_000];
        new Random(8).NextBytes(bytes.AsSpan(24));
        using var file = new TemporaryFile(bytes);
        Assert.Throws<InvalidModelException>(() => AnnModel.Load(file.Path));
    }

    [Fact]
    public void A_disposed_model_refuses_everything()
    {
        AnnModel model = AnnModel.Load(ModelFixture.ModelPath, new ModelOptions { VocabularyOnly = true });
        model.Dispose();
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.Tokenizer.Tokenize("text"));
        Assert.Throws<ObjectDisposedException>(() => model.Describe());
        Assert.Throws<ObjectDisposedException>(() => model.CreateContext());
        Assert.Throws<ObjectDisposedException>(() => model.EstimateMemory());
        Assert.Throws<ObjectDisposedException>(() => new Sampler(model));
    }
}
