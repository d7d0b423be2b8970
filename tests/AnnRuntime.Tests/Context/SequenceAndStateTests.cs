using Xunit;

namespace AnnRuntime.Tests.Context;

/// <summary>Sequence operations and saved state leave the continuation unchanged.</summary>
public sealed class SequenceAndStateTests(ModelFixture fixture)
{
    private static readonly SearchOptions Search = new() { Mode = SearchMode.Exact, TopK = 64 };

    [Fact]
    public void A_state_restored_in_the_middle_continues_alike()
    {
        using AnnContext first = fixture.CreateContext(512, Search);
        first.Decode(fixture.Prose(200));
        _ = Continue(first, 5);
        byte[] state = first.SaveState();
        int[] expected = Continue(first, 10);

        using AnnContext second = fixture.CreateContext(512, Search);
        second.RestoreState(state);
        Assert.Equal((0, 204), second.GetSequenceRange(0));
        // logits are no part of a state: the last token is computed again
        second.RemoveSequence(0, 204);
        first.RemoveSequence(0, 204);
        int last = expected[0];
        Assert.Equal(Continue(first, 9, last), Continue(second, 9, last));
    }

    [Fact]
    public void A_sequence_is_restored_into_another_one()
    {
        using AnnContext first = fixture.CreateContext(512, Search, sequences: 2);
        first.Decode(fixture.Prose(150));
        byte[] state = first.SaveState(sequence: 0);
        using AnnContext second = fixture.CreateContext(512, Search, sequences: 2);
        second.RestoreState(state, sequence: 1);
        Assert.Equal((-1, -1), second.GetSequenceRange(0));
        Assert.Equal((0, 149), second.GetSequenceRange(1));
    }

    [Fact]
    public void A_state_travels_through_streams_and_files()
    {
        using AnnContext context = fixture.CreateContext(512, Search);
        context.Decode(fixture.Prose(100));
        using var stream = new MemoryStream();
        context.SaveState(stream);
        stream.Position = 0;
        context.Clear();
        context.RestoreState(stream);
        Assert.Equal((0, 99), context.GetSequenceRange(0));

        using var file = new TemporaryFile(extension: ".state");
        context.SaveState(file.Path);
        context.Clear();
        context.RestoreState(file.Path);
        Assert.Equal((0, 99), context.GetSequenceRange(0));
    }

    [Fact]
    public void A_foreign_or_damaged_state_is_refused()
    {
        using AnnContext context = fixture.CreateContext(512, Search);
        context.Decode(fixture.Prose(100));
        byte[] state = context.SaveState();

        using AnnContext other = fixture.Model.CreateContext(
            new ContextOptions { ContextLength = 512, KeyType = CacheType.Q8_0, Search = Search });
        Assert.NotEmpty(Assert.Throws<StateException>(() => other.RestoreState(state)).Message);
        using AnnContext off = fixture.CreateContext(512, new SearchOptions { Mode = SearchMode.Off });
        Assert.Throws<StateException>(() => off.RestoreState(state));
        Assert.Throws<StateException>(() => context.RestoreState(state.AsSpan(0, state.Length / 2)));
        Assert.Throws<StateException>(() => context.RestoreState("no state"u8));
        Assert.Throws<StateException>(() => context.RestoreState(default(ReadOnlySpan<byte>)));
        Assert.Throws<ArgumentOutOfRangeException>(() => context.SaveState(sequence: -2));
    }

    [Fact]
    public void A_copied_sequence_continues_like_its_source()
    {
        using AnnContext context = fixture.CreateContext(512, Search, sequences: 2);
        context.Decode(fixture.Prose(150));
        context.CopySequence(0, 1);
        Assert.Equal((0, 149), context.GetSequenceRange(1));
        int[] tokens = fixture.Prose(160)[150..];
        context.Decode(tokens, sequence: 0);
        float[] expected = context.GetLogits().ToArray();
        context.Decode(tokens, sequence: 1);
        Assert.Equal(expected, context.GetLogits().ToArray());
        context.KeepSequence(1);
        Assert.Equal((-1, -1), context.GetSequenceRange(0));
    }

    [Fact]
    public void Removed_tokens_are_forgotten()
    {
        int[] tokens = fixture.Prose(200);
        using AnnContext context = fixture.CreateContext(512, Search);
        context.Decode(tokens);
        float[] expected = context.GetLogits().ToArray();
        context.Decode([1, 2, 3, 4]);
        context.RemoveSequence(0, 199);
        context.Decode(tokens.AsSpan(199, 1));
        float[] actual = context.GetLogits().ToArray();
        for (int index = 0; index < expected.Length; index++)
        {
            Assert.Equal(expected[index], actual[index], 0.05f);
        }
    }

    [Fact]
    public void Shifted_positions_leave_the_continuation_unchanged()
    {
        Assert.True(fixture.Model.Info.CanShift);
        int[] tokens = fixture.Prose(150);
        using AnnContext context = fixture.CreateContext(512, Search);
        context.Decode(tokens);
        int[] expected = Continue(context, 8);
        context.Clear();
        context.Decode(tokens);
        context.ShiftSequence(0, -1, -1, 37);
        Assert.Equal((37, 186), context.GetSequenceRange(0));
        context.RemoveSequence(0, 186);
        context.Decode(tokens.AsSpan(149));
        Assert.Equal(expected, Continue(context, 8));
    }

    [Fact]
    public void Unknown_sequences_and_divisors_are_refused()
    {
        using AnnContext context = fixture.CreateContext(256);
        Assert.Throws<ArgumentException>(() => context.GetSequenceRange(1));
        Assert.Throws<ArgumentException>(() => context.CopySequence(0, 3));
        Assert.Throws<ArgumentException>(() => context.KeepSequence(-1));
        Assert.Throws<ArgumentException>(() => context.DivideSequence(0, 0, -1, 0));
    }

    private int[] Continue(AnnContext context, int count, int? first = null)
    {
        using var sampler = new Sampler(fixture.Model, SamplingOptions.Greedy);
        var tokens = new List<int>();
        if (first is { } token)
        {
            context.Decode([token]);
        }

        for (int index = 0; index < count; index++)
        {
            tokens.Add(sampler.Sample(context));
            context.Decode([tokens[^1]]);
        }

        return [.. tokens];
    }
}
