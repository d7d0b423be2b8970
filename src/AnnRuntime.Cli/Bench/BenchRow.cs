namespace AnnRuntime.Cli;

/// <summary>One line of a record: llama-bench's columns in llama-bench's order, then its samples, then ours.</summary>
/// <remarks>Names are the members' in snake case; the order of the members is the order of JSON and CSV.</remarks>
internal sealed record BenchRow
{
    /// <summary>Of this repository; of llama.cpp in a row of the peer.</summary>
    public string BuildCommit { get; init; } = "unknown";
    public int BuildNumber { get; init; }
    public string CpuInfo { get; init; } = "";
    public string GpuInfo { get; init; } = "";
    public string Backends { get; init; } = "";
    public string ModelFilename { get; init; } = "";
    public string ModelType { get; init; } = "";
    public long ModelSize { get; init; }
    public long ModelNParams { get; init; }
    public int NBatch { get; init; }
    public int NUbatch { get; init; }
    public int NThreads { get; init; }
    public string CpuMask { get; init; } = "0x0";
    public bool CpuStrict { get; init; }
    public int Poll { get; init; } = 50;
    public string TypeK { get; init; } = "";
    public string TypeV { get; init; } = "";
    public int NGpuLayers { get; init; } = -1;
    public int NCpuMoe { get; init; }
    public string SplitMode { get; init; } = "layer";
    public int MainGpu { get; init; }
    public bool NoKvOffload { get; init; }

    /// <summary>-1 the library decides, 0 off, 1 on.</summary>
    public int FlashAttn { get; init; } = -1;
    public string Devices { get; init; } = "auto";
    public string TensorSplit { get; init; } = "0.00";
    public string TensorBuftOverrides { get; init; } = "none";
    public string LoadMode { get; init; } = "mmap";
    public string LazyMode { get; init; } = "auto";
    public bool Embeddings { get; init; }
    public int NoOpOffload { get; init; }
    public bool NoHost { get; init; }
    public long FitTarget { get; init; }
    public int FitMinCtx { get; init; }
    public int NPrompt { get; init; }
    public int NGen { get; init; }
    public int NDepth { get; init; }

    /// <summary>RFC 3339, UTC.</summary>
    public string TestTime { get; init; } = "";
    public long AvgNs { get; init; }
    public long StddevNs { get; init; }
    public double AvgTs { get; init; }
    public double StddevTs { get; init; }
    public long[] SamplesNs { get; init; } = [];
    public double[] SamplesTs { get; init; } = [];

    // ours

    public string Machine { get; init; } = "";
    public long MachineMemoryBytes { get; init; }

    /// <summary>Measured before the run with its threads, bytes a second; of a copy both the bytes read and the bytes written.</summary>
    public long MachineReadBandwidth { get; init; }
    public long MachineCopyBandwidth { get; init; }
    public string LlamaCpp { get; init; } = "";
    public string? Driver { get; init; }
    public string? ProjectionSha256 { get; init; }

    /// <summary>stock (the unpatched library), dense, exact, hnsw or auto.</summary>
    public string Search { get; init; } = "";

    /// <summary>Name of the variant.</summary>
    public string Mode { get; init; } = "";
    public int? NTopK { get; init; }
    public int? NSink { get; init; }
    public int? NWindow { get; init; }

    /// <summary>Layers without search; null for the peer.</summary>
    public int? NReserved { get; init; }
    public string? TypeSearch { get; init; }

    /// <summary>Of the index: cells in view while it searches, links, cells in view while it links, graphs; null without one.</summary>
    public int? Ef { get; init; }
    public int? IndexM { get; init; }
    public int? IndexEfConstruction { get; init; }
    public int? IndexThreads { get; init; }

    /// <summary>Cells from which on the index is searched.</summary>
    public int? IndexMinContext { get; init; }

    /// <summary>none, random (cells that nothing computed) or prefill.</summary>
    public string Fill { get; init; } = "none";

    /// <summary>Variants that alternated in these repetitions.</summary>
    public int NAlternated { get; init; }
    public long MedianNs { get; init; }

    /// <summary>Median speed over that of the fastest row of the peer of the same test and run; null without a peer.</summary>
    public double? RatioToStock { get; init; }

    /// <summary>From an extra pass that is not timed, in which every node runs alone.</summary>
    public long? SearchNsPerToken { get; init; }
    public long? AttentionNsPerToken { get; init; }
    public long? OtherNsPerToken { get; init; }

    /// <summary>Of the index against exact search: 1 for exact search itself, null where nothing is searched.</summary>
    public double? RecallIndex { get; init; }

    /// <summary>Of the index, in the run that measured its recall: queries compared, cells visited and keys compared a query and layer.</summary>
    public long? NRecallIndex { get; init; }
    public double? IndexVisited { get; init; }
    public double? IndexCompared { get; init; }

    /// <summary>Searches of a graph, and insertions since the context was made: nanoseconds of a thread each.</summary>
    public long? IndexSearchNs { get; init; }
    public long? IndexInsertNs { get; init; }

    /// <summary>Cells in the graphs and not yet in them, of all layers; memory of the index.</summary>
    public long? NIndexed { get; init; }
    public long? NPending { get; init; }
    public long? IndexBytes { get; init; }
    public long KBytes { get; init; }
    public long VBytes { get; init; }
    public long SearchBytes { get; init; }

    /// <summary>Most memory of the process so far; ours holds all open variants, each peer is a process of its own.</summary>
    public long PeakRssBytes { get; init; }
    public string Command { get; init; } = "";

    /// <summary>llama-bench's name of the test.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string Test => BenchTest.NameOf(NPrompt, NGen, NDepth);

    /// <summary>Milliseconds per token of the median.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public double MsPerToken => MedianNs / 1e6 / Math.Max(1, NPrompt + NGen);
}
