using System.Security.Cryptography;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli;

/// <summary>Makes the variants of a run.</summary>
internal static class BenchVariants
{
    /// <summary>Flash attention and cache types of the peer: whichever is fastest is what we are compared with.</summary>
    private static readonly (string Name, int Flash, CacheType Type)[] Peers =
        [("stock fa0 f16", 0, CacheType.F16), ("stock fa1 f16", 1, CacheType.F16), ("stock fa1 q8_0", 1, CacheType.Q8_0)];

    /// <summary>Variants of the model itself.</summary>
    /// <remarks>
    /// <paramref name="reserve"/>: numbers of layers that do not search, each a variant of every search; null: the file's.
    /// </remarks>
    /// <exception cref="ArgumentException">More layers reserved than the model has, or no layer is left to search.</exception>
    public static IEnumerable<BenchVariant> Ours(
        AnnModel model, BenchRow shared, IEnumerable<RecallVariant> searches, IReadOnlyList<int>? reserve,
        Func<SearchOptions, ContextOptions> create)
    {
        BenchRow row = WithModel(shared, model, BenchMachine.Shorten(model.Path)) with { ProjectionSha256 = HashProjections(model.Path) };
        foreach (RecallVariant search in searches.SelectMany(search => Reserving(model, search, reserve)))
        {
            ContextOptions options = create(search.Search);
            ContextOptions Sized(int cells) => options with { ContextLength = cells };
            yield return new BenchVariant(
                row with
                {
                    Search = search.Search.Mode.ToString()!.ToLowerInvariant(),
                    Mode = search.Name,
                    NBatch = options.BatchSize,
                    NUbatch = Math.Min(options.UbatchSize, options.BatchSize),
                    TypeK = NameOf(options.KeyType),
                    TypeV = NameOf(options.ValueType),
                    TypeSearch = NameOf(options.SearchKeyType),
                    NoKvOffload = !options.OffloadCache,
                    FlashAttn = options.FlashAttention is { } flash ? (flash ? 1 : 0) : -1,
                    NReserved = model.Info.Layers, // the runner subtracts the searched ones
                    RecallIndex = search.Search.Mode == SearchMode.Exact ? 1 : null, // of an index the runner measures it
                },
                cells => Bytes(model, Sized(cells)),
                (cells, _) => new AnnBenchTarget(model, Sized(cells)));
        }
    }

    /// <summary>Variants of the unpatched library, with the same shape of model.</summary>
    public static IEnumerable<BenchVariant> Stock(
        AnnModel model, BenchRow shared, string program, string stockModel, string stockName, ContextOptions like)
    {
        foreach ((string name, int flash, CacheType type) in Peers)
        {
            ContextOptions options = like with
            {
                KeyType = type, ValueType = type, FlashAttention = flash == 1, Search = new SearchOptions { Mode = SearchMode.Off },
            };
            BenchRow row = WithModel(shared, model, stockName) with
            {
                BuildCommit = shared.LlamaCpp.Split(' ')[^1],
                BuildNumber = 0,
                Search = "stock",
                Mode = name,
                NBatch = like.BatchSize,
                NUbatch = Math.Min(like.UbatchSize, like.BatchSize),
                TypeK = NameOf(type),
                TypeV = NameOf(type),
                FlashAttn = flash,
                LoadMode = "auto",
            };
            // without flash attention the scores of an ubatch are kept, f32; each process has weights of its own
            yield return new BenchVariant(
                row,
                cells => Bytes(model, options with { ContextLength = cells }) + model.Info.SizeBytes
                    + (flash == 0 ? 4L * cells * row.NUbatch * model.Info.Heads : 0),
                (cells, cancellationToken) => new StockBenchTarget(
                    program,
                    new StockRequest("open")
                    {
                        Model = stockModel,
                        TypeK = row.TypeK,
                        TypeV = row.TypeV,
                        NCtx = cells,
                        NBatch = row.NBatch,
                        NUbatch = row.NUbatch,
                        Threads = row.NThreads,
                        Flash = flash,
                    },
                    cancellationToken));
        }
    }

    private static IEnumerable<RecallVariant> Reserving(AnnModel model, RecallVariant search, IReadOnlyList<int>? reserve)
    {
        if (reserve is null || search.Search.Mode is SearchMode.Dense or SearchMode.Off)
        {
            return [search];
        }

        return reserve.Select(n =>
        {
            int[] layers = [.. LayerList.Parse($"reserve:{n}", model.Info.Layers).Intersect(model.SearchedLayers)];
            return layers.Length > 0
                ? search with { Search = search.Search with { Layers = layers } }
                : throw new ArgumentException($"--reserve {n} leaves none of the model's {model.SearchedLayers.Count} searched layers.");
        });
    }

    private static BenchRow WithModel(BenchRow row, AnnModel model, string name) => row with
    {
        ModelFilename = name,
        ModelType = model.Describe().Description,
        ModelSize = model.Info.SizeBytes,
        ModelNParams = model.Info.Parameters,
    };

    private static long Bytes(AnnModel model, ContextOptions options)
    {
        MemoryEstimate estimate = model.EstimateMemory(options);
        return estimate.CacheBytes + estimate.ComputeBytes + (256L << 20); // graph and logits, roughly
    }

    private static string NameOf(CacheType type) => type.ToString().ToLowerInvariant();

    // contents of all search projections, in the order of the file
    private static string? HashProjections(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        bool any = false;
        foreach (GgufTensor tensor in file.Tensors.Where(t => t.Name.Contains(".indexer.", StringComparison.Ordinal)))
        {
            byte[] content = new byte[tensor.ByteCount];
            file.ReadTensor(tensor, 0, content);
            hash.AppendData(content);
            any = true;
        }

        return any ? Convert.ToHexStringLower(hash.GetHashAndReset()) : null;
    }
}
