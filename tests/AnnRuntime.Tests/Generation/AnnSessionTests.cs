using Xunit;

namespace AnnRuntime.Tests.Generation;

public sealed class AnnSessionTests(ModelFixture fixture)
{
    private static readonly GenerationOptions Greedy = new()
    {
        MaxTokens = 20,
        Sampling = SamplingOptions.Greedy,
        IgnoreEndOfGeneration = true,
    };

    private const string Prompt = "A compiler reads the text of a program and turns it into";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Tokens_and_text_are_those_of_a_loop_by_hand()
    {
        int[] prompt = fixture.Model.Tokenizer.Tokenize(Prompt);
        var expected = new List<int>();
        using (AnnContext byHand = fixture.CreateContext(256))
        using (var sampler = new Sampler(fixture.Model, SamplingOptions.Greedy))
        {
            byHand.Decode(prompt, Token);
            for (int index = 0; index < 20; index++)
            {
                expected.Add(sampler.Sample(byHand));
                byHand.Decode([expected[^1]], Token);
            }
        }

        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in session.GenerateAsync(Prompt, Greedy, cancellationToken: Token))
        {
            tokens.Add(token);
        }

        Assert.Equal(expected, tokens.Select(token => token.Id));
        Assert.Equal(Enumerable.Range(0, 20), tokens.Select(token => token.Index));
        GenerationResult result = session.LastResult!;
        Assert.Equal(string.Concat(tokens.Select(token => token.Text)), result.Text);
        Assert.Equal(fixture.Model.Tokenizer.Detokenize([.. expected]), result.Text);
        Assert.Equal(FinishReason.MaxTokens, result.FinishReason);
        Assert.Equal(
            (prompt.Length, 0, 20, 19),
            (result.Timings.PromptTokens, result.Timings.CachedTokens, result.Timings.GeneratedTokens, result.Timings.DecodeSteps));
        Assert.True(result.Timings.PromptTokensPerSecond > 0);
        Assert.True(result.Timings.DecodeMillisecondsPerToken > 0);
        Assert.Null(result.Retrieval);
    }

    [Fact]
    public async Task A_longer_prompt_reuses_the_cells_of_the_shorter_one()
    {
        using AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        int[] prose = fixture.Prose(400);
        GenerationResult first = await session.CompleteAsync(prose[..300], Greedy, cancellationToken: Token);
        Assert.Equal(0, first.Timings.CachedTokens);

        GenerationResult second = await session.CompleteAsync(prose, Greedy, cancellationToken: Token);
        Assert.Equal(300, second.Timings.CachedTokens);
        GenerationResult again = await session.CompleteAsync(prose, Greedy, cancellationToken: Token);
        Assert.Equal(399, again.Timings.CachedTokens);
        GenerationResult fresh = await session.CompleteAsync(prose, Greedy with { ReusePrefix = false }, cancellationToken: Token);
        Assert.Equal(0, fresh.Timings.CachedTokens);
        Assert.Equal(fresh.Text, again.Text);
    }

    [Fact]
    public async Task A_stop_string_ends_the_answer_and_is_not_shown()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        GenerationResult whole = await session.CompleteAsync(Prompt, Greedy, cancellationToken: Token);
        string stop = whole.Text.Substring(whole.Text.Length / 2, 6);

        GenerationResult cut = await session.CompleteAsync(
            Prompt, Greedy with { StopStrings = [stop, "never seen"] }, cancellationToken: Token);

        Assert.Equal(FinishReason.StopString, cut.FinishReason);
        Assert.Equal(whole.Text[..whole.Text.IndexOf(stop, StringComparison.Ordinal)], cut.Text);
    }

    [Fact]
    public async Task Text_held_back_for_a_stop_string_comes_with_the_last_token()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        GenerationResult whole = await session.CompleteAsync(Prompt, Greedy, cancellationToken: Token);
        GenerationResult held = await session.CompleteAsync(
            Prompt, Greedy with { StopStrings = [whole.Text[^3..] + "\u0001"] }, cancellationToken: Token);
        Assert.Equal(whole.Text, held.Text);
    }

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_refused_before_anything_is_computed()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        var exception = Assert.Throws<ContextFullException>(() => session.GenerateAsync(fixture.Prose(300)));
        Assert.Contains("The prompt has 300 tokens, but the context has 256 cells", exception.Message);
        Assert.Equal((-1, -1), context.GetSequenceRange(0));
        Assert.Null(session.LastResult);
    }

    [Fact]
    public async Task An_empty_prompt_and_an_unknown_sequence_are_refused()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        Assert.Contains("empty", Assert.Throws<ArgumentException>(() => session.GenerateAsync("")).Message);
        Assert.Contains("empty", Assert.Throws<ArgumentException>(() => session.GenerateAsync([])).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new AnnSession(context, 1));
    }

    [Fact]
    public async Task Generation_ends_when_the_context_is_full()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        GenerationResult result = await session.CompleteAsync(
            fixture.Prose(250), Greedy with { MaxTokens = null }, cancellationToken: Token);
        Assert.Equal(FinishReason.ContextFull, result.FinishReason);
        Assert.Equal(7, result.Timings.GeneratedTokens);
    }

    [Fact]
    public async Task Prefill_reports_progress_and_can_be_cancelled()
    {
        using AnnContext context = fixture.CreateContext(2048);
        await using var session = new AnnSession(context);
        using var source = new CancellationTokenSource();
        var seen = new List<PrefillProgress>();
        var progress = new Direct<PrefillProgress>(value =>
        {
            seen.Add(value);
            if (value.Done >= 512)
            {
                source.Cancel();
            }
        });

        var exception = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => session.CompleteAsync(fixture.Prose(2000), Greedy, progress, source.Token));

        Assert.Equal(source.Token, exception.CancellationToken);
        Assert.Equal([0, 128, 256, 384, 512], seen.Select(value => value.Done));
        Assert.All(seen, value => Assert.Equal(2000, value.Total));
        Assert.Equal(FinishReason.Cancelled, session.LastResult!.FinishReason);
        Assert.Equal((0, 511), context.GetSequenceRange(0));
    }

    [Fact]
    public async Task A_cancelled_answer_keeps_what_came_and_the_session_goes_on()
    {
        using AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        using var source = new CancellationTokenSource();
        var text = new System.Text.StringBuilder();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken token in session.GenerateAsync(
                Prompt, Greedy with { MaxTokens = null }, cancellationToken: source.Token))
            {
                text.Append(token.Text);
                if (token.Index == 5)
                {
                    source.Cancel();
                }
            }
        });
        Assert.StartsWith(text.ToString(), session.LastResult!.Text);
        Assert.Equal(FinishReason.Cancelled, session.LastResult.FinishReason);
        GenerationResult next = await session.CompleteAsync(Prompt, Greedy, cancellationToken: Token);
        Assert.Equal(20, next.Timings.GeneratedTokens);
    }

    [Fact]
    public async Task A_reader_that_leaves_early_stops_the_work()
    {
        using AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        await foreach (GeneratedToken token in session.GenerateAsync(
            Prompt, Greedy with { MaxTokens = null }, cancellationToken: Token))
        {
            if (token.Index == 3)
            {
                break;
            }
        }

        // nobody is inside the context any more
        Assert.True(context.GetSequenceRange(0).Last > 0);
    }

    [Fact]
    public async Task A_token_can_be_given_to_the_enumeration()
    {
        using AnnContext context = fixture.CreateContext(256);
        await using var session = new AnnSession(context);
        using var source = new CancellationTokenSource();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken _ in session.GenerateAsync(Prompt, Greedy, cancellationToken: Token)
                .WithCancellation(source.Token))
            {
                Assert.Fail("A cancelled enumeration has a token.");
            }
        });
    }

    [Fact]
    public async Task A_session_runs_one_generation_at_a_time()
    {
        using AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        await using IAsyncEnumerator<GeneratedToken> first = session
            .GenerateAsync(Prompt, Greedy with { MaxTokens = null }, cancellationToken: Token).GetAsyncEnumerator(Token);
        Assert.True(await first.MoveNextAsync());
        var exception = await Assert.ThrowsAsync<InvalidOperationException>(
            () => session.CompleteAsync(Prompt, Greedy, cancellationToken: Token));
        Assert.Contains("This session is generating", exception.Message);
        Assert.True(await first.MoveNextAsync());
    }

    [Fact]
    public async Task Two_sessions_of_a_context_take_turns()
    {
        using AnnContext context = fixture.CreateContext(1024, sequences: 2);
        await using var first = new AnnSession(context, 0);
        await using var second = new AnnSession(context, 1);
        GenerationResult[] results = await Task.WhenAll(
            first.CompleteAsync(Prompt, Greedy, cancellationToken: Token),
            second.CompleteAsync(Prompt, Greedy, cancellationToken: Token));
        Assert.Equal(results[0].Text, results[1].Text);
        Assert.Equal(20, results[0].Tokens.Count);
    }

    [Fact]
    public async Task Disposing_the_context_under_a_generation_ends_it()
    {
        AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
        {
            await foreach (GeneratedToken token in session.GenerateAsync(
                Prompt, Greedy with { MaxTokens = null }, cancellationToken: Token))
            {
                if (token.Index == 3)
                {
                    context.Dispose();
                }
            }
        });
        Assert.Throws<ObjectDisposedException>(() => session.GenerateAsync(Prompt));
    }

    [Fact]
    public async Task A_disposed_session_gives_its_cells_back_and_refuses_prompts()
    {
        using AnnContext context = fixture.CreateContext(256);
        var session = new AnnSession(context);
        await session.CompleteAsync(Prompt, Greedy, cancellationToken: Token);
        await session.DisposeAsync();
        await session.DisposeAsync();
        Assert.Equal((-1, -1), context.GetSequenceRange(0));
        Assert.Throws<ObjectDisposedException>(() => session.GenerateAsync(Prompt));
    }

    [Fact]
    public async Task Statistics_come_with_the_result_when_they_are_on()
    {
        using AnnContext context = fixture.CreateContext(1024, new SearchOptions { TopK = 64, MinContext = 0 });
        context.StartStatistics(StatisticsKinds.Mass);
        await using var session = new AnnSession(context);
        GenerationResult result = await session.CompleteAsync(fixture.Prose(500), Greedy, cancellationToken: Token);
        Assert.InRange(result.Retrieval!.Mass!.Value, 0.1, 1);
        Assert.Equal(519, result.Retrieval.Tokens);
    }
}
