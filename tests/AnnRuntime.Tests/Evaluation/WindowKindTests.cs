using AnnRuntime.Evaluation;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>Packed documents, tokens one by one, and the index: against plain windows and exact search.</summary>
public sealed class WindowKindTests(ModelFixture fixture)
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private EvaluationVariant Variant(string selector, int k) =>
        EvaluationVariant.Create(selector, k, fixture.Model.Info, new SearchOptions());

    private async Task<IReadOnlyList<WindowResult>> RunAsync(EvaluationPlan plan) =>
        await EvaluationRunner.RunAsync(fixture.Model, plan, EvaluationJournal.InMemory(), null, Token);

    private static EvaluationPlan Plan(TextWindows windows, params EvaluationVariant[] variants) => new()
    {
        Variants = variants,
        Windows = windows,
        Context = new ContextOptions { Threads = 2 },
        Chunk = 64,
    };

    [Fact]
    public void Documents_are_packed_one_after_the_other_and_cut_by_windows()
    {
        TextWindows windows = TextWindows.Pack([[1, 2, 3], [], [4], [5, 6, 7, 8, 9]], 4, null);
        Assert.Equal((2, 2), (windows.Count, windows.MostSegments));
        Assert.Equal([1, 2, 3, 4], windows[0].ToArray());
        Assert.Equal([0, 3], windows.Segments(0));
        Assert.Equal([5, 6, 7, 8], windows[1].ToArray());
        Assert.Equal([0], windows.Segments(1)); // the document begins with the window
        Assert.Contains("300 documents", Assert.Throws<ArgumentException>(
            () => TextWindows.Pack(Enumerable.Repeat((int[])[1], 300), 300, 1)).Message);
    }

    [Fact]
    public async Task A_packed_document_has_the_likelihood_that_it_has_alone()
    {
        int[] text = fixture.Prose(256);
        int[][] documents = [text[..70], text[70..200], text[200..]];
        foreach (EvaluationVariant variant in (EvaluationVariant[])[EvaluationVariant.Dense, Variant("exact", 48), Variant("oracle", 48)])
        {
            WindowResult packed = (await RunAsync(Plan(TextWindows.Pack(documents, 256, 1), variant)))[0];
            Assert.Equal(256 - 3, packed.Targets);
            double alone = 0;
            foreach (int[] document in documents)
            {
                alone += (await RunAsync(Plan(new TextWindows(document, document.Length, 1), variant with
                {
                    Search = variant.Search with { TopK = Math.Min(48, document.Length) },
                })))[0].BlockNll.Sum();
            }

            WindowResult plain = (await RunAsync(Plan(new TextWindows(text, 256, 1), variant)))[0];
            Assert.InRange(packed.BlockNll.Sum() / alone, 0.997, 1.003); // two shapes of one sum in f16
            Assert.True(Math.Abs(plain.BlockNll.Sum() / alone - 1) > 0.01); // they do see each other in a plain window
        }
    }

    [Fact]
    public async Task Tokens_one_by_one_have_the_likelihood_of_chunks()
    {
        var windows = new TextWindows(fixture.Prose(256), 256, 1);
        EvaluationPlan plan = Plan(windows, EvaluationVariant.Dense, Variant("exact", 48)) with { Measure = true };
        IReadOnlyList<WindowResult> chunks = await RunAsync(plan);
        IReadOnlyList<WindowResult> single = await RunAsync(plan with { Chunk = 1 });
        IReadOnlyList<WindowResult> end = await RunAsync(plan with { Generated = 128 });
        for (int i = 0; i < 2; i++)
        {
            Assert.InRange(single[i].BlockNll.Sum() / chunks[i].BlockNll.Sum(), 0.997, 1.003);
            Assert.Equal((255, 127), (single[i].Targets, end[i].Targets));
            Assert.InRange(end[i].BlockNll.Sum() / chunks[i].BlockNll[1], 0.997, 1.003); // the second block has the same targets
        }

        Assert.Equal(256, chunks[1].Layers[0].Queries);
        Assert.Equal(128, end[1].Layers[0].Queries); // the prompt's are not measured
        Assert.Equal((129 + 256) / 2.0, end[1].Layers[0].Compared!.Value, 6); // exact search: all that are visible
    }

    [Fact]
    public async Task A_wide_search_of_the_index_is_exact_and_a_narrow_one_compares_fewer_keys()
    {
        var windows = new TextWindows(fixture.Prose(1024), 1024, 1);
        EvaluationVariant exact = Variant("exact", 4), wide = Variant("hnsw", 4); // wide: ef 320, so the index scans 1024 cells
        EvaluationPlan plan = Plan(windows, exact, wide, wide with { Name = "narrow", Search = wide.Search with { EfSearch = 4 } }) with
        {
            Generated = 24,
            Measure = true,
            Chunk = 512,
        };
        IReadOnlyList<VariantFigures> figures = VariantFigures.From(plan, await RunAsync(plan), fixture.Model.SearchedLayers);
        Assert.Equal(["exact", "hnsw", "hnsw"], figures.Select(row => row.Selector));
        Assert.Null(figures[0].IndexRecall);
        Assert.Equal(1, figures[1].IndexRecall!.Value, 9);
        Assert.Equal(figures[0].Compared!.Value, figures[1].Compared!.Value, 6);
        Assert.InRange(figures[1].Nll - figures[0].Nll, -0.001, 0.001);
        Assert.InRange(figures[2].IndexRecall!.Value, 0.2, 0.999);
        Assert.InRange(figures[2].Compared!.Value, 1, figures[0].Compared!.Value / 2);
    }

    [Fact]
    public async Task An_index_that_would_not_be_used_is_refused()
    {
        EvaluationPlan plan = Plan(new TextWindows(fixture.Prose(256), 256, 1), Variant("hnsw", 48));
        ArgumentException exception = await Assert.ThrowsAsync<ArgumentException>(() => RunAsync(plan));
        Assert.Contains("would never use its index", exception.Message);
        exception = await Assert.ThrowsAsync<ArgumentException>(() => RunAsync(plan with { Generated = 255 }));
        Assert.Contains("it must be 0, or 2 to 254", exception.Message);
    }

    [Fact]
    public void Scaling_counts_what_is_compared()
    {
        IReadOnlyList<ScalingPoint> points = ScalingProbe.Measure(
            fixture.Model, new ContextOptions { Threads = 2 }, 1024, 64, ["full", "exact", "pages"], 4, null, Token);
        // queries see 1025, 1026, 1027 and 1028 cells
        Assert.Equal(1026.5, points[0].Compared, 6);
        Assert.Equal(1026.5, points[1].Compared, 6);
        Assert.Equal(2 * 65, points[2].Compared, 6);
        Assert.Equal(1026.5 * 64, points[1].ScoringOperations, 3);
        Assert.Equal(1026.5 * 64 * 2, points[1].ScoringBytes, 3);
        Assert.Equal(130 * 6 * 64, points[2].ScoringOperations, 3);
        Assert.True(points[0].AttentionMicroseconds > 0 && points[1].ChoiceMicroseconds > 0);
        Assert.Contains("fewer than K", Assert.Throws<ArgumentException>(
            () => ScalingProbe.Measure(fixture.Model, new ContextOptions(), 32, 64, ["exact"], 1, null, Token)).Message);
    }
}
