using AnnRuntime.Evaluation;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>Costs by formula on the embedded model's shape: 6 heads, 2 K/V heads, 64 dims, 64 search dims.</summary>
public sealed class SelectorCostTests(ModelFixture fixture)
{
    private ModelInfo Info => fixture.Model.Info with { SearchLength = 64 };

    [Theory]
    [InlineData("full", 4096 * 6 * 64, 0)]
    [InlineData("exact", 4096 * 64, 4096 * 64 * 2)]
    [InlineData("pages", 4096 / 16 * 2 * 6 * 64, 4096 / 16 * 2 * 2 * 64 * 2)]
    [InlineData("oracle", 4096 * 6 * 64, 4096 * 2 * 64 * 2)]
    [InlineData("lsh", 6 * 8 * 8 * 64 + 4096 * 6 * 8, 4096 * 2 * 8)]
    [InlineData("recent", 0, 0)]
    public void Choosing(string selector, double operations, double bytes)
    {
        SelectorCost cost = SelectorCost.Of(selector, 4096, 128, Info);
        Assert.Equal((operations, bytes), (cost.ScoringOperations, cost.ScoringBytes));
    }

    [Fact]
    public void Attending_reads_the_chosen_cells_of_K_and_V()
    {
        Assert.Equal(128 * 2 * 128 * 2, SelectorCost.Of("exact", 4096, 128, Info).AttentionBytes);
        Assert.Equal(4096 * 2 * 128 * 2, SelectorCost.Of("full", 4096, 128, Info).AttentionBytes);
        Assert.Equal(64 * 2 * 128 * 2, SelectorCost.Of("exact", 64, 128, Info).AttentionBytes);
    }

    [Fact]
    public void Only_HNSW_does_not_grow_with_the_cells()
    {
        double Growth(string selector) =>
            SelectorCost.Of(selector, 4L << 20, 128, Info).ScoringOperations
            / SelectorCost.Of(selector, 4096, 128, Info).ScoringOperations;
        Assert.Equal(1024, Growth("exact"), 6);
        Assert.InRange(Growth("hnsw"), 1, 1.1);
    }
}
