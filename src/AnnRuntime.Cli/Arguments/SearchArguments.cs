using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>Which cells a query attends to.</summary>
internal sealed class SearchArguments
{
    private readonly Option<string?> _mode = Make.Choice(
        "--ann",
        "off: attention of unpatched llama.cpp. dense: search keys are kept, attention is full. exact: the top-k cells by "
        + "exact search. hnsw: generated tokens search an index instead, which is approximate. auto: hnsw from the depth "
        + "on where it is faster on this machine (ann doctor), exact below. Default: exact for a model with search "
        + "projections, else off.",
        "off", "dense", "exact", "hnsw", "auto");

    private readonly Option<int?> _efSearch = Make.Integer(
        "--ef-search",
        "Of the index (hnsw, auto): cells kept in view by a search, at least top-k; more finds more, slower. Default: 320.",
        1, 65536);

    private readonly Option<int?> _links = Make.Integer("--index-links", "Of the index: links of a cell. Default: 16.", 2, 128);

    private readonly Option<int?> _efConstruction = Make.Integer(
        "--index-ef-construction", "Of the index: cells kept in view while one is linked. Default: 200.", 1, 4096);

    private readonly Option<int?> _indexThreads = Make.Integer(
        "--index-threads", "Of the index: graphs of a layer, a thread each. Default: physical cores, at most 8.", 1, 64);

    private readonly Option<int?> _indexMinContext = Make.Integer(
        "--index-min-context",
        "Of the index: search is exact while the cache holds fewer cells. Default: with auto as measured, with hnsw 0.", 0);

    private readonly Option<int?> _indexMemory = Make.Integer(
        "--index-memory", "Of the index: most memory in MiB; layers beyond it search exactly. Default: no limit.", 1);

    private readonly Option<bool> _indexEager = new("--index-eager")
    {
        Description = "Of the index: cells enter it inside the computation that writes them, not while the context is idle.",
    };

    private readonly Option<int?> _topK = Make.Integer(
        "--top-k", "Cells attended to per query and layer, sinks and window included. Default: the file's.", 1);

    private readonly Option<int?> _sinks = Make.Integer(
        "--sinks", "First cells, always attended to. Default: the file's.", 0);

    private readonly Option<int?> _window = Make.Integer(
        "--window", "Last cells, always attended to. Default: the file's.", 0);

    private readonly Option<string?> _prefill = Make.Choice(
        "--ann-prefill",
        "What the tokens of the prompt attend to. sparse: they search too. dense: to all cells. Default: sparse.",
        "sparse", "dense");

    private readonly Option<IReadOnlyList<int>?> _layers = Make.Integers(
        "--layers", "Searched layers, a subset of the file's. Default: all of the file's.", 0);

    /// <summary>Adds the options.</summary>
    /// <param name="command">The verb.</param>
    /// <param name="withMode">False for a verb that leaves mode and top-k to itself.</param>
    /// <param name="withIndex">False for a verb that never searches by index.</param>
    public void AddTo(Command command, bool withMode = true, bool withIndex = true)
    {
        if (withMode)
        {
            command.Options.Add(_mode);
            command.Options.Add(_topK);
        }

        if (withIndex)
        {
            Option[] index = [_efSearch, _links, _efConstruction, _indexThreads, _indexMinContext, _indexMemory, _indexEager];
            Array.ForEach(index, command.Options.Add);
        }

        command.Options.Add(_sinks);
        command.Options.Add(_window);
        command.Options.Add(_prefill);
        command.Options.Add(_layers);
    }

    /// <summary>The options given.</summary>
    public SearchOptions Read(ParseResult parse) => new()
    {
        Mode = parse.GetResult(_mode) is null ? null : Enum.Parse<SearchMode>(parse.GetValue(_mode)!, ignoreCase: true),
        TopK = parse.GetResult(_topK) is null ? null : parse.GetValue(_topK),
        EfSearch = parse.GetResult(_efSearch) is null ? null : parse.GetValue(_efSearch),
        IndexLinks = parse.GetResult(_links) is null ? null : parse.GetValue(_links),
        IndexEfConstruction = parse.GetResult(_efConstruction) is null ? null : parse.GetValue(_efConstruction),
        IndexThreads = parse.GetResult(_indexThreads) is null ? null : parse.GetValue(_indexThreads),
        IndexMinContext = (parse.GetResult(_indexMinContext) is null ? null : parse.GetValue(_indexMinContext)) ?? 0,
        IndexMaxBytes = ((parse.GetResult(_indexMemory) is null ? null : parse.GetValue(_indexMemory)) ?? 0) * (1L << 20),
        IndexEager = parse.GetResult(_indexEager) is not null && parse.GetValue(_indexEager),
        Sinks = parse.GetValue(_sinks),
        Window = parse.GetValue(_window),
        Prefill = parse.GetValue(_prefill) == "dense" ? PrefillMode.Dense : PrefillMode.Sparse,
        Layers = parse.GetValue(_layers),
    };
}
