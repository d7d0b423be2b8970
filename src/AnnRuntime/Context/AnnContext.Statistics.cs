using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Statistics on request.</summary>
public sealed partial class AnnContext
{
    private StatisticsKinds _statistics;

    /// <summary>What is measured now.</summary>
    public StatisticsKinds Statistics => _statistics;

    /// <summary>Starts measuring from zero, or stops.</summary>
    /// <param name="kinds">What to measure; none stops. Measuring makes a decode slower.</param>
    /// <param name="every">With mass or index, each n-th decode is measured. Default 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="every"/> is less than 1.</exception>
    public void StartStatistics(StatisticsKinds kinds, int every = 1)
    {
        if (every < 1)
        {
            throw new ArgumentOutOfRangeException(nameof(every), every, $"every is {every}; it must be at least 1.");
        }

        Handle.SetStatistics((int)kinds, every);
        _statistics = kinds;
    }

    /// <summary>What was measured since <see cref="StartStatistics"/>.</summary>
    public RetrievalStatistics GetStatistics()
    {
        AnnContextStats total = Handle.GetStatistics();
        var layers = new LayerRetrieval[total.NLayer];
        for (int layer = 0; layer < layers.Length; layer++)
        {
            layers[layer] = LayerRetrieval.FromNative(_handle.GetLayerStatistics(layer));
        }

        return RetrievalStatistics.FromNative(in total, layers);
    }

    /// <summary>The index over the search keys; all zero where there is none.</summary>
    /// <param name="layer">A layer of the model. Default null: all layers, summed.</param>
    /// <exception cref="ArgumentException">No such layer.</exception>
    public IndexStatistics GetIndexStatistics(int? layer = null)
    {
        if (layer < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(layer), layer, $"layer is {layer}; it must be at least 0, or null for all.");
        }

        AnnIndexStats native = Handle.GetIndexStatistics(layer ?? -1);
        return IndexStatistics.FromNative(in native);
    }

    /// <summary>Positions that a layer chose for the last token of the last decode, ascending.</summary>
    /// <param name="layer">A layer of the model.</param>
    /// <returns>Empty for a reserved layer or after a dense pass. Needs <see cref="StatisticsKinds.Mass"/>.</returns>
    /// <exception cref="ArgumentException">No such layer.</exception>
    public IReadOnlyList<int> GetCandidates(int layer) => Handle.GetCandidates(layer);

    /// <summary>
    /// Fills cells of sequence 0 with contents that nothing computed, for measurements of speed: noise as keys and values,
    /// search keys in clusters as those of a text. With mode hnsw they are indexed before this returns.
    /// </summary>
    /// <param name="cells">1 to <see cref="Cells"/>. The cache must be empty.</param>
    /// <param name="seed">Makes the contents repeatable.</param>
    /// <exception cref="ArgumentException">The cache is not empty, or has fewer cells.</exception>
    public void FillRandom(int cells, long seed = 0)
    {
        if (cells < 1 || cells > Cells)
        {
            throw new ArgumentOutOfRangeException(nameof(cells), cells, $"cells is {cells}; it must be in 1..{Cells}.");
        }

        Handle.FillRandom((uint)cells, (ulong)seed);
    }
}
