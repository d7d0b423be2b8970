using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Embeddings;

/// <summary>Embeddings against the tokens' own, against the library's pooling, alone and in batches.</summary>
public sealed class EmbeddingEngineTests(ModelFixture fixture)
{
    [Theory]
    [InlineData(Pooling.Mean, SearchMode.Off)]
    [InlineData(Pooling.Cls, SearchMode.Off)]
    [InlineData(Pooling.Last, SearchMode.Off)]
    [InlineData(Pooling.Mean, SearchMode.Exact)]
    public async Task An_embedding_is_what_pooling_makes_of_the_tokens(Pooling pooling, SearchMode mode)
    {
        int[] tokens = fixture.Prose(100);
        float[][] each = TokenEmbeddings(tokens, mode);
        float[] expected = [.. Enumerable.Range(0, each[0].Length).Select(dimension => pooling switch
        {
            Pooling.Cls => each[0][dimension],
            Pooling.Last => each[^1][dimension],
            _ => (float)each.Average(values => (double)values[dimension]),
        })];

        // the graph of llama.cpp, which pools by itself
        using AnnContext pooled = fixture.Model.CreateContext(Context(mode) with { Embeddings = true, Pooling = pooling });
        pooled.Decode(tokens);
        Near(expected, pooled.GetEmbeddings().ToArray(), 1e-4);

        await using EmbeddingEngine engine = Start(new EmbeddingOptions { Context = Context(mode), Pooling = pooling, Normalize = false });
        Near(expected, await engine.EmbedAsync(tokens), 1e-4);
    }

    [Fact]
    public async Task A_batch_has_the_embeddings_of_its_inputs_alone()
    {
        await using EmbeddingEngine engine = Start(new EmbeddingOptions
        {
            Context = Context(SearchMode.Exact) with { MaxSequences = 4, BatchSize = 64 },
        });
        int[] prose = fixture.Prose(900);
        // shorter than a batch, as long, and much longer; more inputs than sequences
        int[][] inputs = [.. ((int[])[1, 5, 64, 200, 63, 17, 300, 2, 40, 8]).Select((count, index) => prose[(20 * index)..(20 * index + count)])];
        float[][] alone = [.. await Task.WhenAll(inputs.Select(async input =>
        {
            await using EmbeddingEngine single = Start(new EmbeddingOptions { Context = Context(SearchMode.Exact) });
            return await single.EmbedAsync(input);
        }))];

        // several callers, whose inputs share batches
        IReadOnlyList<float[]>[] together = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => engine.EmbedAsync(inputs)));

        foreach (IReadOnlyList<float[]> batch in together)
        {
            for (int index = 0; index < inputs.Length; index++)
            {
                Assert.InRange(Dot(alone[index], batch[index]), 0.999, 1.001);
                Assert.Equal(1, Dot(batch[index], batch[index]), 1e-5);
                // and of no other input
                Assert.Equal(index, Enumerable.Range(0, inputs.Length).MaxBy(other => Dot(alone[other], batch[index])));
            }
        }
    }

    [Fact]
    public async Task The_search_of_the_options_chooses_the_cells()
    {
        int[] tokens = fixture.Prose(400);
        async Task<float[]> Embed(SearchMode mode, int? topK)
        {
            ContextOptions context = Context(mode);
            await using EmbeddingEngine engine = Start(new EmbeddingOptions
            {
                Context = context with { Search = context.Search with { TopK = topK } },
            });
            return await engine.EmbedAsync(tokens);
        }

        float[] full = await Embed(SearchMode.Dense, null);
        Assert.InRange(Dot(full, await Embed(SearchMode.Exact, 512)), 0.9999, 1.0001);
        Assert.True(Dot(full, await Embed(SearchMode.Exact, 40)) < 0.9999);
    }

    [Fact]
    public async Task Fewer_dimensions_are_the_first_ones_at_length_one()
    {
        await using EmbeddingEngine engine = Start();
        int[] tokens = fixture.Prose(20);
        float[] whole = await engine.EmbedAsync(tokens);
        float[] part = await engine.EmbedAsync(tokens, dimensions: 16);
        Assert.Equal((engine.Dimensions, 16), (whole.Length, part.Length));
        double length = Math.Sqrt(Dot(whole[..16], whole[..16]));
        Near([.. whole[..16].Select(value => (float)(value / length))], part, 1e-5);
    }

    [Fact]
    public async Task What_cannot_be_embedded_is_told_in_a_sentence()
    {
        await using EmbeddingEngine engine = Start(new EmbeddingOptions { Context = Context(SearchMode.Exact), QueueLimit = 2 });
        Assert.Contains("Input 1 has no tokens", (await Assert.ThrowsAsync<ArgumentException>(() => engine.EmbedAsync([[5], []]))).Message);
        Assert.Contains("token 999999", (await Assert.ThrowsAsync<ArgumentException>(() => engine.EmbedAsync([5, 999_999]))).Message);
        Assert.Contains("dimensions is 0", (await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => engine.EmbedAsync([5], 0))).Message);
        Assert.Contains($"1..{engine.Dimensions}",
            (await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => engine.EmbedAsync([5], 100_000))).Message);
        string tooLong = (await Assert.ThrowsAsync<ContextFullException>(() => engine.EmbedAsync(new int[1025]))).Message;
        Assert.Contains("Input 0 has 1025 tokens, but the context has 1024 cells", tooLong);
        Assert.Contains("the queue takes 2", (await Assert.ThrowsAsync<EngineBusyException>(() => engine.EmbedAsync([[5], [6], [7]]))).Message);
        Assert.Empty(await engine.EmbedAsync(Array.Empty<int[]>()));

        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => engine.EmbedAsync([5], cancellationToken: cancelled.Token));
        Assert.Equal(engine.Dimensions, (await engine.EmbedAsync(new int[1024])).Length); // all cells are free again

        await engine.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => engine.EmbedAsync([5]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new EmbeddingOptions { Pooling = Pooling.None });
    }

    [Fact]
    public async Task The_file_says_how_to_pool()
    {
        using AnnModel last = Variant("qwen3.pooling_type", GgufValue.From(3u));
        await using var engine = new EmbeddingEngine(last, new EmbeddingOptions { Context = Context(SearchMode.Exact) });
        await using EmbeddingEngine mean = Start();
        Assert.Equal(Pooling.Last, engine.Pooling);
        Assert.Equal(Pooling.Mean, mean.Pooling);

        using AnnModel ranks = Variant("qwen3.pooling_type", GgufValue.From(4u));
        Assert.Contains("ranks", Assert.Throws<UnsupportedModelException>(() => new EmbeddingEngine(ranks)).Message);
        Assert.Contains("params.pooling", Assert.Throws<UnsupportedModelException>(
            () => ranks.CreateContext(Context(SearchMode.Off) with { Embeddings = true })).Message);
    }

    [Fact]
    public void A_model_whose_tokens_see_later_ones_is_refused_and_takes_a_batch_of_one_graph()
    {
        // without projections, which need a causal model
        using var projections = new TemporaryFile(extension: ".safetensors");
        using var plain = new TemporaryFile();
        ModelSplitter.Split(ModelFixture.ModelPath, projections.Path, plain.Path);
        using AnnModel model = Variant("qwen3.attention.causal", GgufValue.From(false), plain.Path);
        Assert.Contains("attention.causal", Assert.Throws<UnsupportedModelException>(() => new EmbeddingEngine(model)).Message);

        using AnnContext context = model.CreateContext(Context(SearchMode.Off) with { UbatchSize = 32 });
        context.Decode(fixture.Prose(32));
        context.Clear();
        Assert.Contains("n_ubatch = 32", Assert.Throws<ArgumentException>(() => context.Decode(fixture.Prose(33))).Message);
    }

    [Fact]
    public void A_context_that_pools_takes_whole_sequences()
    {
        ContextOptions options = Context(SearchMode.Exact) with { Embeddings = true, Pooling = Pooling.Mean, UbatchSize = 32, MaxSequences = 2 };
        using AnnContext context = fixture.Model.CreateContext(options);
        Assert.Contains("n_ubatch = 32", Assert.Throws<ArgumentException>(() => context.Decode(fixture.Prose(33))).Message);
        context.Decode(fixture.Prose(10));
        Assert.Contains("from position 0", Assert.Throws<ArgumentException>(() => context.Decode(fixture.Prose(2))).Message);
        context.Clear();

        // two sequences in a batch: each token answers for its own
        int[] prose = fixture.Prose(30);
        var batch = new Batch();
        for (int index = 0; index < 20; index++)
        {
            batch.Add(prose[index], index % 10, index / 10, wantLogits: true);
        }

        context.Decode(batch);
        float[] first = context.GetEmbeddings(3).ToArray();
        Near(first, context.GetEmbeddings(0).ToArray(), 0);
        float[] second = context.GetEmbeddings().ToArray();
        Assert.True(first.Zip(second, (one, other) => Math.Abs(one - other)).Max() > 1e-2);

        Assert.Contains("kv_unified", Assert.Throws<ArgumentException>(
            () => fixture.Model.CreateContext(options with { UnifiedCache = false })).Message);
    }

    private static ContextOptions Context(SearchMode mode) => new()
    {
        ContextLength = 1024,
        UbatchSize = 128,
        Search = new SearchOptions { Mode = mode, TopK = mode == SearchMode.Exact ? 40 : null },
    };

    private static double Dot(float[] one, float[] other) => one.Zip(other, (a, b) => (double)a * b).Sum();

    private static void Near(float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = expected.Max(Math.Abs);
        Assert.InRange(expected.Zip(actual, (one, other) => Math.Abs(one - other)).Max(), 0, tolerance * scale);
    }

    private EmbeddingEngine Start(EmbeddingOptions? options = null) =>
        new(fixture.Model, options ?? new EmbeddingOptions { Context = Context(SearchMode.Exact) });

    private float[][] TokenEmbeddings(int[] tokens, SearchMode mode)
    {
        using AnnContext context = fixture.Model.CreateContext(Context(mode) with { Embeddings = true, Pooling = Pooling.None });
        var batch = new Batch();
        for (int index = 0; index < tokens.Length; index++)
        {
            batch.Add(tokens[index], index, wantLogits: true);
        }

        context.Decode(batch);
        return [.. Enumerable.Range(0, tokens.Length).Select(index => context.GetEmbeddings(index).ToArray())];
    }

    // a model, by default the embedded one, with one key more
    private static AnnModel Variant(string key, GgufValue value, string? path = null)
    {
        using GgufFile file = GgufFile.Open(path ?? ModelFixture.ModelPath);
        var metadata = new GgufMetadata(file.Metadata) { [key] = value };
        using var copy = new TemporaryFile();
        using (FileStream stream = File.Create(copy.Path))
        {
            GgufWriter.Write(stream, metadata, [.. file.Tensors.Select(tensor => GgufTensorSource.Copy(file, tensor))]);
        }

        return AnnModel.Load(copy.Path); // mapped: the name may go
    }
}
