using Xunit;

namespace AnnRuntime.Tests.Engine;

/// <summary>Answers of the engine are those of a session, however many requests share its batches.</summary>
public sealed class GenerationEngineTests(ModelFixture fixture)
{
    private static readonly GenerationOptions Greedy = new()
    {
        MaxTokens = 12,
        Sampling = SamplingOptions.Greedy,
        IgnoreEndOfGeneration = true,
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Eight_answers_at_once_are_those_of_a_session()
    {
        List<GenerationRequest> requests = ClearRequests(8);
        var serial = new List<string>();
        using (AnnContext context = fixture.CreateContext(1024, Search))
        {
            await using var session = new AnnSession(context);
            foreach (GenerationRequest request in requests)
            {
                serial.Add((await session.CompleteAsync(
                    request.Prompt, request.Options with { ReusePrefix = false }, cancellationToken: Token)).Text);
            }
        }

        await using GenerationEngine engine = Create(sequences: 8);
        GenerationResult[] results = await Task.WhenAll(requests.Select(request => engine.CompleteAsync(request, Token)));

        Assert.Equal(serial, results.Select(result => result.Text));
        EngineMetrics metrics = engine.GetMetrics();
        Assert.Equal((8, 0, 0), (metrics.Requests, metrics.Failed, metrics.Cancelled));
        Assert.True(metrics.StepRequests > metrics.Steps, "no step computed two requests");
    }

    [Fact]
    public async Task A_seed_makes_an_answer_repeatable()
    {
        await using GenerationEngine engine = Create();
        GenerationRequest request = Request(0, 40) with
        {
            Options = Greedy with { Sampling = new SamplingOptions { Seed = 7, Temperature = 1.5f } },
        };
        string first = (await engine.CompleteAsync(request, Token)).Text;
        Assert.Equal(first, (await engine.CompleteAsync(request, Token)).Text);
        Assert.NotEqual(first, (await engine.CompleteAsync(
            request with { Options = request.Options with { Sampling = new SamplingOptions { Seed = 8, Temperature = 1.5f } } },
            Token)).Text);
    }

    [Fact]
    public async Task Requests_share_the_cells_of_a_common_beginning()
    {
        await using GenerationEngine engine = Create();
        int[] document = fixture.Prose(300);
        string fresh = (await engine.CompleteAsync(new() { Prompt = document, Options = Greedy }, Token)).Text;
        GenerationResult again = await engine.CompleteAsync(new() { Prompt = document, Options = Greedy }, Token);
        Assert.Equal((299, fresh), (again.Timings.CachedTokens, again.Text));

        // most of the document is wanted by none of these: its slot keeps it, they get copies of the beginning
        GenerationResult[] parts = await Task.WhenAll(Enumerable.Range(1, 2).Select(index => engine.CompleteAsync(
            new() { Prompt = [.. document[..100], .. fixture.Prose(20 + index)], Options = Greedy }, Token)));
        Assert.All(parts, part => Assert.True(part.Timings.CachedTokens >= 100, $"{part.Timings.CachedTokens} tokens were cached"));
        Assert.Equal(299, (await engine.CompleteAsync(new() { Prompt = document, Options = Greedy }, Token)).Timings.CachedTokens);
    }

    [Fact]
    public async Task A_request_chooses_its_search_and_reuses_no_cells_of_another()
    {
        await using GenerationEngine engine = Create();
        int[] prompt = fixture.Prose(400);
        var request = new GenerationRequest { Prompt = prompt, Options = Greedy };
        GenerationResult exact = await engine.CompleteAsync(request, Token);
        GenerationResult[] dense = await Task.WhenAll(
            engine.CompleteAsync(request with { Mode = SearchMode.Dense }, Token),
            engine.CompleteAsync(request with { TopK = 48 }, Token));
        Assert.All(dense, result => Assert.Equal(0, result.Timings.CachedTokens));

        using AnnContext context = fixture.CreateContext(1024, new SearchOptions { Mode = SearchMode.Dense });
        await using var session = new AnnSession(context);
        Assert.Equal((await session.CompleteAsync(prompt, Greedy, cancellationToken: Token)).Text, dense[0].Text);
        Assert.Equal(399, (await engine.CompleteAsync(request, Token)).Timings.CachedTokens);
        Assert.NotEmpty(exact.Text);
        var exception = Assert.Throws<UnsupportedModelException>(() => engine.Submit(request with { Mode = SearchMode.Off }));
        Assert.Contains("the mode cannot become off", exception.Message);
        Assert.Contains("at least 36", Assert.Throws<ArgumentException>(() => engine.Submit(request with { TopK = 35 })).Message);
    }

    [Fact]
    public async Task What_each_layer_retrieved_for_the_newest_token_can_be_seen()
    {
        await using GenerationEngine engine = Create();
        using AnnRuntime.Generation seen = engine.Submit(
            new GenerationRequest { Prompt = fixture.Prose(400), Options = Greedy, TopK = 40, Observe = true }, Token);
        Task<GenerationResult> other = engine.CompleteAsync(Request(50, 60), Token);
        GenerationResult result = await seen.Result;
        await other;

        RetrievedCells retrieval = seen.Retrieval!;
        Assert.Equal(400 + result.Tokens.Count - 2, retrieval.Position);
        Assert.Equal(fixture.Model.SearchedLayers, retrieval.Layers.Select(layer => layer.Layer));
        Assert.All(retrieval.Layers, layer =>
        {
            Assert.Equal(40, layer.Positions.Count);
            Assert.All(layer.Positions, position => Assert.InRange(position, 0, retrieval.Position));
            Assert.InRange(layer.Mass!.Value, 0, 1.0001);
        });
    }

    [Theory]
    [InlineData(OverflowPolicy.Stop)]
    [InlineData(OverflowPolicy.Shift)]
    [InlineData(OverflowPolicy.Error)]
    public async Task A_full_sequence_does_what_was_asked(OverflowPolicy policy)
    {
        await using GenerationEngine engine = Create(length: 256, sequences: 1);
        var request = new GenerationRequest
        {
            Prompt = fixture.Prose(250),
            Options = Greedy with { MaxTokens = 30 },
            Overflow = policy,
        };
        if (policy == OverflowPolicy.Error)
        {
            await Assert.ThrowsAsync<ContextFullException>(() => engine.CompleteAsync(request, Token));
            return;
        }

        GenerationResult result = await engine.CompleteAsync(request, Token);
        (FinishReason reason, int count) = policy == OverflowPolicy.Stop
            ? (FinishReason.ContextFull, 7)
            : (FinishReason.MaxTokens, 30);
        Assert.Equal((reason, count), (result.FinishReason, result.Tokens.Count));
        Assert.Equal(policy == OverflowPolicy.Shift, result.ForgottenTokens > 0);
    }

    [Fact]
    public async Task Requests_over_the_queue_limit_are_refused_and_a_cancelled_one_makes_room()
    {
        await using GenerationEngine engine = Create(sequences: 1, queue: 1);
        GenerationRequest endless = Request(0, 200) with { Options = Greedy with { MaxTokens = 500 } };
        using AnnRuntime.Generation first = engine.Submit(endless, Token);
        await foreach (GeneratedToken _ in first)
        {
            using AnnRuntime.Generation second = engine.Submit(endless, Token);
            Assert.Throws<EngineBusyException>(() => engine.Submit(endless, Token));
            second.Cancel();
            break;
        }

        await Assert.ThrowsAsync<OperationCanceledException>(() => first.Result);
        Assert.Equal(12, (await engine.CompleteAsync(Request(10, 20), Token)).Tokens.Count);
        Assert.Equal((1L, 2L), (engine.GetMetrics().Refused, engine.GetMetrics().Cancelled));
    }

    [Fact]
    public async Task A_prefix_comes_back_from_a_file_of_the_same_model_only()
    {
        using var file = new TemporaryFile(extension: ".kv");
        int[] document = fixture.Prose(300);
        var request = new GenerationRequest { Prompt = document, Options = Greedy };
        string expected;
        await using (GenerationEngine engine = Create())
        {
            await Assert.ThrowsAsync<InvalidOperationException>(() => engine.SavePrefixAsync(document, file.Path, Token));
            expected = (await engine.CompleteAsync(request, Token)).Text;
            Assert.True(await engine.SavePrefixAsync(document, file.Path, Token) >= 300);
        }

        await using GenerationEngine restored = Create();
        Assert.Equal(document, (await restored.RestorePrefixAsync(file.Path, Token)).Take(300));
        GenerationResult result = await restored.CompleteAsync(request, Token);
        Assert.Equal((299, expected), (result.Timings.CachedTokens, result.Text));

        byte[] bytes = File.ReadAllBytes(file.Path);
        bytes[20] ^= 1; // in the fingerprint
        File.WriteAllBytes(file.Path, bytes);
        var foreign = await Assert.ThrowsAsync<StateException>(() => restored.RestorePrefixAsync(file.Path, Token));
        Assert.Contains("another model file", foreign.Message);
        File.WriteAllBytes(file.Path, [1, 2, 3]);
        await Assert.ThrowsAsync<StateException>(() => restored.RestorePrefixAsync(file.Path, Token));
    }

    [Fact]
    public async Task A_drained_engine_ends_what_it_has_and_a_disposed_one_cancels()
    {
        GenerationEngine engine = Create();
        using AnnRuntime.Generation running = engine.Submit(Request(0, 100), Token);
        await engine.DrainAsync(Token);
        Assert.Equal(12, (await running.Result).Tokens.Count);
        Assert.Throws<EngineBusyException>(() => engine.Submit(Request(0, 10), Token));
        await engine.DisposeAsync();

        GenerationEngine second = Create();
        using AnnRuntime.Generation endless = second.Submit(Request(0, 100) with { Options = Greedy with { MaxTokens = 800 } }, Token);
        await second.DisposeAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => endless.Result);
        Assert.True(endless.Result.IsCompleted);
    }

    /// <summary>Every request is answered as alone or cancelled; no slot stays busy, whatever is cancelled when.</summary>
    [Fact]
    public async Task Random_cancels_leave_no_stuck_slot_and_no_wrong_answer()
    {
        await using GenerationEngine engine = Create(sequences: 4, queue: 200);
        List<GenerationRequest> kinds = ClearRequests(5);
        var expected = new List<string>();
        foreach (GenerationRequest kind in kinds)
        {
            expected.Add((await engine.CompleteAsync(kind, Token)).Text);
        }

        var random = new Random(1);
        (int Kind, int CancelAfter)[] plan =
            [.. Enumerable.Range(0, 60).Select(_ => (random.Next(5), random.Next(3) == 0 ? random.Next(10) : -1))];
        await Task.WhenAll(plan.Select(async one =>
        {
            using AnnRuntime.Generation generation = engine.Submit(kinds[one.Kind], Token);
            if (one.CancelAfter < 0)
            {
                Assert.Equal(expected[one.Kind], (await generation.Result).Text);
                return;
            }

            int left = one.CancelAfter;
            await foreach (GeneratedToken _ in generation)
            {
                if (left-- == 0)
                {
                    break;
                }
            }
        }));
        await engine.DrainAsync(Token);
        Assert.True(
            SpinWait.SpinUntil(() => engine.Slots.All(slot => !slot.IsBusy), TimeSpan.FromSeconds(10)), "a slot is stuck");
        Assert.Equal(0, engine.GetMetrics().Failed);
    }

    // from the first cell on: whether attention is still full depends on the cells of all sequences, and full attention and a
    // search that finds every cell round differently
    private static SearchOptions Search => new() { MinContext = 0 };

    private GenerationEngine Create(int length = 2048, int sequences = 4, int queue = 64) => new(fixture.Model, new EngineOptions
    {
        Context = new ContextOptions { ContextLength = length, MaxSequences = sequences, UbatchSize = 128, Search = Search },
        QueueLimit = queue,
    });

    // requests whose every token is chosen clearly, so that rounding, which depends on the batch, cannot change an answer
    private List<GenerationRequest> ClearRequests(int count)
    {
        using AnnContext context = fixture.CreateContext(1024, Search);
        List<GenerationRequest> clear = [];
        for (int start = 0; clear.Count < count; start += 10)
        {
            Assert.True(start < 1200, $"only {clear.Count} of {count} requests have a clear answer");
            GenerationRequest request = Request(start, 40 + 15 * clear.Count);
            context.Clear();
            context.Decode([.. request.Prompt]);
            float margin = float.MaxValue;
            for (int step = 0; step < Greedy.MaxTokens && margin > 0.2f; step++)
            {
                int best = 0;
                margin = float.MaxValue;
                ReadOnlySpan<float> logits = context.GetLogits();
                for (int token = 1; token < logits.Length; token++)
                {
                    bool better = logits[token] > logits[best];
                    margin = better ? logits[token] - logits[best] : Math.Min(margin, logits[best] - logits[token]);
                    best = better ? token : best;
                }

                context.Decode([best]);
            }

            if (margin > 0.2f)
            {
                clear.Add(request);
            }
        }

        return clear;
    }

    private GenerationRequest Request(int start, int length) =>
        new() { Prompt = fixture.Prose(start + length)[start..], Options = Greedy };
}
