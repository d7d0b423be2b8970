namespace AnnRuntime.Evaluation;

/// <summary>What one query costs in one layer, by formula: multiply-adds of the choice and bytes it reads.</summary>
/// <param name="Selector">full, exact, pages, oracle, lsh, recent, bigbird, random or hnsw.</param>
/// <param name="Cells">Cells of the cache, N.</param>
/// <param name="ScoringOperations">Multiply-adds (LSH: byte comparisons too) to choose; full: of all logits.</param>
/// <param name="ScoringBytes">Bytes read to choose; f16 keys.</param>
/// <param name="AttentionOperations">Multiply-adds of attention over the chosen cells.</param>
/// <param name="AttentionBytes">Bytes of K and V rows read for it.</param>
public sealed record SelectorCost(
    string Selector, long Cells, double ScoringOperations, double ScoringBytes, double AttentionOperations, double AttentionBytes)
{
    /// <summary>Graph of HNSW in the formula: neighbours of a node, and the breadth of a search.</summary>
    public const int HnswM = 16, HnswEf = 320;

    private const int PageCells = 16, Rotations = 8, Buckets = 16, KeyBytes = 2;

    /// <summary>All bytes of the query.</summary>
    public double Bytes => ScoringBytes + AttentionBytes;

    /// <summary>Selectors that <see cref="Of"/> knows.</summary>
    public static IReadOnlyList<string> Known { get; } =
        ["full", "exact", "hnsw", "pages", "oracle", "lsh", "bigbird", "recent", "random"];

    /// <summary>Every selector from 4K to 4M cells.</summary>
    /// <param name="topK">K.</param>
    /// <param name="model">Heads and dims.</param>
    public static IReadOnlyList<SelectorCost> Table(int topK, ModelInfo model) =>
        [.. Known.SelectMany(selector => Enumerable.Range(0, 6).Select(i => Of(selector, 4096L << (2 * i), topK, model)))];

    /// <summary>Multiply-adds and bytes of comparing a query with a number of things.</summary>
    /// <param name="selector">full and oracle: keys of every head; exact: search keys; hnsw: search keys and the links to them; pages: bounds.</param>
    /// <param name="compared">Their number.</param>
    /// <param name="model">Heads and dims.</param>
    internal static (double Operations, double Bytes) Comparing(string selector, double compared, ModelInfo model)
    {
        double perHead = compared * model.KeyLength;
        double search = compared * model.SearchLength;
        return selector switch
        {
            "full" => (perHead * model.Heads, 0), // the keys are read by attention
            "exact" => (search, search * KeyBytes),
            "hnsw" => (search, search * KeyBytes + compared * sizeof(int)),
            _ => (perHead * model.Heads, perHead * model.KeyValueHeads * KeyBytes),
        };
    }

    /// <summary>The cost of a selector.</summary>
    /// <remarks>
    /// exact: N search keys of d dims. pages: 2 bounds per page, head and dim. oracle: N keys of every head. lsh: the
    /// query's rotations, then N bucket numbers of every head. hnsw: (ef + log N / log M) hops of 2 M distances, the
    /// usual estimate, not a bound.
    /// </remarks>
    /// <param name="selector">One of <see cref="Known"/>.</param>
    /// <param name="cells">N.</param>
    /// <param name="topK">K.</param>
    /// <param name="model">Heads and dims.</param>
    public static SelectorCost Of(string selector, long cells, int topK, ModelInfo model)
    {
        ArgumentNullException.ThrowIfNull(model);
        double n = cells, heads = model.Heads, kvHeads = model.KeyValueHeads, dim = model.KeyLength;
        double hops = HnswEf + Math.Log(Math.Max(2, n)) / Math.Log(HnswM);
        (double operations, double bytes) = selector switch
        {
            "full" or "exact" or "oracle" => Comparing(selector, n, model),
            "hnsw" => Comparing(selector, hops * 2 * HnswM, model),
            "pages" => Comparing(selector, 2 * n / PageCells, model),
            "lsh" => (heads * Rotations * (Buckets / 2) * dim + n * heads * Rotations, n * kvHeads * Rotations),
            _ => (0.0, 0.0),
        };
        double attended = selector == "full" ? n : Math.Min(n, topK);
        double attention = attended * heads * (dim + model.ValueLength);
        return new SelectorCost(
            selector, cells, operations, bytes, attention, attended * kvHeads * (dim + model.ValueLength) * KeyBytes);
    }
}
