using AnnRuntime.Extensions.AI;
using Microsoft.Extensions.AI;
using Xunit;

namespace AnnRuntime.Tests.Extensions;

/// <summary>The embedding generator's contract: usage, dimensions, services, refusals.</summary>
public sealed class AnnEmbeddingGeneratorTests(ModelFixture fixture) : IAsyncDisposable
{
    private readonly EmbeddingEngine _engine = new(fixture.Model, new EmbeddingOptions
    {
        Context = new ContextOptions { ContextLength = 512, BatchSize = 128, MaxSequences = 4 },
    });

    [Fact]
    public async Task Texts_become_embeddings_in_their_order_with_usage()
    {
        using IEmbeddingGenerator<string, Embedding<float>> generator = _engine.AsEmbeddingGenerator();
        string[] texts = ["A compiler reads the text of a program.", "Memory is slow."];
        GeneratedEmbeddings<Embedding<float>> both = await generator.GenerateAsync(texts);

        Assert.Equal(2, both.Count);
        int tokens = texts.Sum(text => fixture.Model.Tokenizer.Tokenize(text).Length);
        Assert.Equal(tokens, both.Usage!.InputTokenCount);
        Assert.Equal(tokens, both.Usage.TotalTokenCount);
        Assert.All(both, embedding => Assert.Equal("ann-rotated-d64-q8_0", embedding.ModelId));
        float[] second = await _engine.EmbedAsync(fixture.Model.Tokenizer.Tokenize(texts[1]));
        Assert.Equal(1, both[1].Vector.ToArray().Zip(second, (one, other) => (double)one * other).Sum(), 1e-3);

        GeneratedEmbeddings<Embedding<float>> small = await generator.GenerateAsync(texts, new() { Dimensions = 8 });
        Assert.All(small, embedding => Assert.Equal(8, embedding.Dimensions));
        Assert.Empty(await generator.GenerateAsync([]));
    }

    [Fact]
    public async Task Services_and_refusals()
    {
        using IEmbeddingGenerator<string, Embedding<float>> generator = _engine.AsEmbeddingGenerator();
        var metadata = generator.GetService<EmbeddingGeneratorMetadata>()!;
        Assert.Equal("ann_runtime", metadata.ProviderName);
        Assert.Equal(fixture.Model.Info.EmbeddingLength, metadata.DefaultModelDimensions);
        Assert.Same(_engine, generator.GetService<EmbeddingEngine>());
        Assert.Null(generator.GetService(typeof(EmbeddingEngine), "key"));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => generator.GenerateAsync(["x"], new() { Dimensions = -1 }));
        await Assert.ThrowsAsync<ContextFullException>(() => generator.GenerateAsync([string.Concat(Enumerable.Repeat("word ", 2000))]));
    }

    public ValueTask DisposeAsync() => _engine.DisposeAsync();
}
