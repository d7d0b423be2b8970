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
