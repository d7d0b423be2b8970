using Xunit;

namespace AnnRuntime.Tests.Context;

/// <summary>The index over the search keys: statistics, options, mode auto, saved states.</summary>
public sealed class IndexTests(ModelFixture fixture)
{
    private static SearchOptions Small => new()
    {
        Mode = SearchMode.Hnsw, TopK = 32, Sinks = 2, Window = 6, EfSearch = 48, IndexLinks = 6, IndexThreads = 2,
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_grows_while_the_context_is_idle_and_tells_what_it_found()
    {
        using AnnContext context = fixture.CreateContext(2048, Small);
        context.Decode(fixture.Prose(1200));
        await RestAsync(context);
        IndexStatistics built = context.GetIndexStatistics(3);
        Assert.Equal((3, 2, 1200, 1200, 0), (built.Layer!.Value, built.Graphs, built.Indexed, built.Inserted, built.Searches));
        Assert.True(built.InsertTime > TimeSpan.Zero);
        Assert.Null(built.Recall);

        context.StartStatistics(StatisticsKinds.Index);
        for (int i = 0; i < 4; i++)
        {
            context.Decode([100 + i]);
        }

        IndexStatistics all = context.GetIndexStatistics();
        Assert.Null(all.Layer);
        Assert.Equal((12 * 4, 12 * 4 * 2), (all.Measured, all.Searches));
        Assert.InRange(all.Recall!.Value, 0.8, 1);
        Assert.True(all.Compared > all.Visited && all.Visited > 0 && all.SearchTime > TimeSpan.Zero);
        Assert.Throws<ArgumentOutOfRangeException>(() => context.GetIndexStatistics(-1));
        Assert.Throws<ArgumentException>(() => context.GetIndexStatistics(12));
    }

    [Fact]
    public async Task A_saved_state_brings_its_index()
    {
        using AnnContext context = fixture.CreateContext(1024, Small);
        context.Decode(fixture.Prose(800));
        await RestAsync(context);
        byte[] state = context.SaveState();
        using AnnContext other = fixture.CreateContext(1024, Small);
        other.RestoreState(state);
        Assert.Equal((800 * 12, 0, 0), Counts(other));

        context.Search = Small with { IndexInState = false };
        byte[] without = context.SaveState();
        Assert.InRange(without.Length, 1, state.Length - (800 * 12 * 4 * 6));
        using AnnContext third = fixture.CreateContext(1024, Small with { IndexEager = true });
        third.RestoreState(without);
        Assert.Equal((0, 800 * 12, 0), Counts(third));
    }

    [Fact]
    public void Options_come_back_as_resolved()
    {
        SearchOptions asked = Small with
        {
            Mode = SearchMode.Auto, IndexMinContext = 5000, IndexEfConstruction = 70, IndexEager = true, IndexMaxBytes = 1 << 24,
            IndexInState = false,
        };
        using AnnContext context = fixture.CreateContext(512, asked);
        SearchOptions search = context.Search;
        Assert.Equal(asked with { Layers = search.Layers, MinContext = search.MinContext }, search);
        using AnnContext defaults = fixture.CreateContext(512, new SearchOptions { Mode = SearchMode.Hnsw });
        Assert.Equal((16, 200), (defaults.Search.IndexLinks, defaults.Search.IndexEfConstruction));
        UnsupportedModelException exception = Assert.Throws<UnsupportedModelException>(
            () => fixture.CreateContext(512, Small with { IndexMaxBytes = 5 }));
        Assert.Contains("search.index_max_bytes is 5, expected at least the ", exception.Message);
    }

    [Fact]
    public void Auto_goes_by_a_measurement()
    {
        IndexCalibration measured = IndexCalibration.Measure(64, threads: 2);
        Assert.True(measured.ExactTime > TimeSpan.Zero && measured.IndexTime > TimeSpan.Zero && measured.MeasuredCells > 0);
        using AnnContext context = fixture.Model.CreateContext(new ContextOptions
        {
            ContextLength = 512, Threads = 2, Search = new SearchOptions { Mode = SearchMode.Auto, TopK = 128 },
        });
        Assert.Equal((SearchMode.Auto, measured.MinContext ?? int.MaxValue), (context.Search.Mode!.Value, context.Search.IndexMinContext));
        Assert.Equal(measured, IndexCalibration.Measure(64, threads: 2)); // once in a process
        Assert.Throws<ArgumentException>(() => IndexCalibration.Measure(50));
        Assert.Throws<ArgumentException>(() => IndexCalibration.Measure(64, CacheType.Q4_0));
    }

    [Fact]
    public void A_calibration_is_kept_in_a_file()
    {
        using TemporaryFile file = new(extension: ".json");
        try
        {
            IndexCalibration.File = file.Path;
            Assert.Equal(file.Path, IndexCalibration.File);
            IndexCalibration first = IndexCalibration.Measure(32, CacheType.Q8_0, topK: 16, efSearch: 16);
            Assert.False(first.FromFile);
            Assert.InRange(first.MeasuredAt, DateTimeOffset.UtcNow.AddMinutes(-10), DateTimeOffset.UtcNow.AddMinutes(1));
            IndexCalibration.File = file.Path; // as a new process would begin
            Assert.Equal(first with { FromFile = true }, IndexCalibration.Measure(32, CacheType.Q8_0, topK: 16, efSearch: 16));
            Assert.False(IndexCalibration.Measure(32, CacheType.Q8_0, topK: 16, efSearch: 16, again: true).FromFile);
            Assert.Throws<ArgumentException>(() => IndexCalibration.File = " ");
        }
        finally
        {
            IndexCalibration.File = null;
        }

        Assert.Null(IndexCalibration.File);
    }

    private static (long Indexed, long Pending, long Inserted) Counts(AnnContext context)
    {
        IndexStatistics index = context.GetIndexStatistics();
        return (index.Indexed, index.Pending, index.Inserted);
    }

    private static async Task RestAsync(AnnContext context)
    {
        for (int i = 0; i < 2500 && context.GetIndexStatistics().Pending > 0; i++)
        {
            await Task.Delay(4, Token);
        }

        Assert.Equal(0, context.GetIndexStatistics().Pending);
    }
}
