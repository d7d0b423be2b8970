using Xunit;

namespace AnnRuntime.Tests.Context;

public sealed class StatisticsTests(ModelFixture fixture)
{
    [Fact]
    public void Searched_and_reserved_layers_are_told_apart()
    {
        using AnnContext context = fixture.CreateContext(
            1024, new SearchOptions { Mode = SearchMode.Exact, TopK = 64, Layers = [2, 4], MinContext = 0 });
        context.StartStatistics(StatisticsKinds.Mass);
        context.Decode(fixture.Prose(600));
        context.Decode([100]);

        RetrievalStatistics statistics = context.GetStatistics();

        Assert.Equal(12, statistics.Layers.Count);
        Assert.Equal([2, 4], statistics.Layers.Where(layer => layer.Searched).Select(layer => layer.Layer));
        LayerRetrieval searched = statistics.Layers[2];
        Assert.Equal(601, searched.Queries);
        Assert.InRange(searched.Attended!.Value, 50, 64);
        Assert.InRange(searched.Visible!.Value, 250, 350);
        Assert.InRange(searched.Mass!.Value, 0.1, 1);
        Assert.InRange(searched.TeacherRecall!.Value, 0.1, 1);
        Assert.Null(statistics.Layers[3].Mass);
        Assert.Equal(2, statistics.Decodes);
        Assert.Equal(601, statistics.Tokens);
    }

    [Fact]
    public void Candidates_are_sinks_window_and_what_was_found()
    {
        using AnnContext context = fixture.CreateContext(
            1024, new SearchOptions { Mode = SearchMode.Exact, TopK = 64, Sinks = 4, Window = 32 });
        context.StartStatistics(StatisticsKinds.Mass);
        context.Decode(fixture.Prose(600));
        context.Decode([100]);

        IReadOnlyList<int> candidates = context.GetCandidates(5);

        Assert.Equal(64, candidates.Count);
        Assert.Equal(candidates.Distinct().Order(), candidates);
        Assert.Equal([0, 1, 2, 3], candidates.Take(4));
        Assert.Equal(Enumerable.Range(569, 32), candidates.Skip(32));
    }

    [Fact]
    public void Times_are_measured_on_request_and_reset()
    {
        using AnnContext context = fixture.CreateContext(1024);
        context.StartStatistics(StatisticsKinds.Time);
        context.Decode(fixture.Prose(400));
        RetrievalStatistics statistics = context.GetStatistics();
        Assert.True(statistics.SearchTime > TimeSpan.Zero);
        Assert.True(statistics.AttentionTime > TimeSpan.Zero);
        Assert.True(statistics.DecodeTime >= statistics.SearchTime + statistics.AttentionTime);
        context.StartStatistics(StatisticsKinds.None);
        Assert.Equal(0, context.GetStatistics().Decodes);
        Assert.Throws<ArgumentOutOfRangeException>(() => context.StartStatistics(StatisticsKinds.Mass, 0));
    }
}
