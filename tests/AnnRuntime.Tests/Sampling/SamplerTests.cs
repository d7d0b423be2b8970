using Xunit;

namespace AnnRuntime.Tests.Sampling;

public sealed class SamplerTests(ModelFixture fixture)
{
    [Fact]
    public void Greedy_takes_the_greatest_logit()
    {
        using AnnContext context = fixture.CreateContext();
        context.Decode(fixture.Prose(50));
        using var sampler = new Sampler(fixture.Model, SamplingOptions.Greedy);
        Assert.Equal(ArgMax(context.GetLogits()), sampler.Sample(context));
    }

    [Fact]
    public void A_seed_repeats_its_choices()
    {
        using AnnContext context = fixture.CreateContext();
        context.Decode(fixture.Prose(50));
        int[] Draw()
        {
            using var sampler = new Sampler(fixture.Model, new SamplingOptions { Seed = 42, Temperature = 2, TopK = 0, TopP = 1, MinP = 0 });
            return [.. Enumerable.Range(0, 20).Select(_ => sampler.Sample(context))];
        }

        Assert.Equal(Draw(), Draw());
        Assert.True(Draw().Distinct().Count() > 3);
    }

    [Fact]
    public void A_bias_forces_its_token()
    {
        using AnnContext context = fixture.CreateContext();
        context.Decode(fixture.Prose(50));
        using var sampler = new Sampler(
            fixture.Model, SamplingOptions.Greedy with { LogitBias = new Dictionary<int, float> { [1234] = 1000 } });
        Assert.Equal(1234, sampler.Sample(context));
    }

    [Fact]
    public void A_grammar_is_followed_and_a_wrong_one_refused()
    {
        using AnnContext context = fixture.CreateContext();
        context.Decode(fixture.Prose(50));
        using var sampler = new Sampler(fixture.Model, SamplingOptions.Greedy with { Grammar = "root ::= \"yes\" | \"no\"" });
        string text = fixture.Model.Tokenizer.Detokenize([sampler.Sample(context)]);
        Assert.True("yes".StartsWith(text, StringComparison.Ordinal) || "no".StartsWith(text, StringComparison.Ordinal), text);
        Assert.Throws<ArgumentException>(
            () => new Sampler(fixture.Model, SamplingOptions.Greedy with { Grammar = "root ::= (" }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lazy_grammar_starts_with_its_trigger(bool byToken)
    {
        int[] prompt = fixture.Prose(50);
        async Task<GenerationResult> Generate(SamplingOptions sampling)
        {
            using AnnContext context = fixture.CreateContext();
            await using var session = new AnnSession(context);
            return await session.CompleteAsync(prompt, new GenerationOptions { MaxTokens = 60, Sampling = sampling });
        }

        // a word of the free answer, one token long and new there
        GenerationResult free = await Generate(SamplingOptions.Greedy);
        string[] pieces = [.. free.Tokens.Select(token => fixture.Model.Tokenizer.Detokenize([token]))];
        int at = Enumerable.Range(8, pieces.Length - 8).First(index =>
            pieces[index].Trim() is { Length: > 3 } word && word.All(char.IsAsciiLetter)
            && free.Text.IndexOf(word, StringComparison.Ordinal) == string.Concat(pieces[..index]).Length + pieces[index].IndexOf(word, StringComparison.Ordinal));
        string trigger = pieces[at].Trim();
        string before = string.Concat(pieces[..at]);

        string begin = byToken ? pieces[at] : trigger;
        SamplingOptions lazy = SamplingOptions.Greedy with
        {
            Grammar = $"root ::= \"{begin}\" [0-9] [0-9] [0-9]",
            GrammarTriggerPatterns = byToken ? [] : ["never", trigger],
            GrammarTriggerTokens = byToken ? [free.Tokens[at]] : [],
        };
        GenerationResult answer = await Generate(lazy);
        Assert.StartsWith(before + pieces[at], answer.Text);
        Assert.Matches("^[0-9]{3}$", answer.Text[(before.Length + pieces[at].Length)..]);
        Assert.Equal(FinishReason.EndOfGeneration, answer.FinishReason);

        // a trigger that never comes leaves the answer free; without one the grammar holds from the start
        GenerationResult never = await Generate(lazy with { GrammarTriggerPatterns = ["never"], GrammarTriggerTokens = [] });
        Assert.Equal(free.Text, never.Text);
        GenerationResult strict = await Generate(lazy with { GrammarTriggerPatterns = [], GrammarTriggerTokens = [] });
        Assert.Matches($"^{begin}[0-9]{{3}}$", strict.Text);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_grammar_that_no_token_can_follow_is_told(float temperature)
    {
        using AnnContext context = fixture.CreateContext();
        context.Decode(fixture.Prose(10));
        using var sampler = new Sampler(
            fixture.Model, new SamplingOptions { Temperature = temperature, Grammar = @"root ::= [^\x00-\UFFFFFFFF]" });
        Assert.Contains("none can follow params.grammar", Assert.Throws<ArgumentException>(() => sampler.Sample(context)).Message);
    }

    [Fact]
    public void Wrong_triggers_are_named()
    {
        SamplingOptions lazy = SamplingOptions.Greedy with { Grammar = "root ::= \"x\"" };
        Assert.Contains("\"(\", which is no regular expression", Assert.Throws<ArgumentException>(
            () => new Sampler(fixture.Model, lazy with { GrammarTriggerPatterns = ["ok", "("] })).Message);
        Assert.Contains("grammar_trigger_tokens", Assert.Throws<ArgumentException>(
            () => new Sampler(fixture.Model, lazy with { GrammarTriggerTokens = [-1] })).Message);
        Assert.Contains("zero character", Assert.Throws<ArgumentException>(
            () => new Sampler(fixture.Model, lazy with { GrammarTriggerPatterns = ["a\0b"] })).Message);
    }

    [Fact]
    public void A_disposed_sampler_and_an_empty_context_are_refused()
    {
        using AnnContext context = fixture.CreateContext();
        var sampler = new Sampler(fixture.Model);
        Assert.Throws<ArgumentException>(() => sampler.Sample(context));
        sampler.Dispose();
        Assert.Throws<ObjectDisposedException>(() => sampler.Sample(context));
        Assert.Throws<ObjectDisposedException>(() => sampler.Accept(1));
    }

    private static int ArgMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int index = 1; index < values.Length; index++)
        {
            if (values[index] > values[best])
            {
                best = index;
            }
        }

        return best;
    }
}
