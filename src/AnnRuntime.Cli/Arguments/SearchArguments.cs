using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>Which cells a query attends to.</summary>
internal sealed class SearchArguments
{
    private readonly Option<string?> _mode = Make.Choice(
        "--ann",
        "off: attention of unpatched llama.cpp. dense: search keys are kept, attention is full. exact: the top-k cells by "
        + "exact search. hnsw: generated tokens search an index instead, which is approximate. Default: exact for a model "
        + "with search projections, else off.",
        "off", "dense", "exact", "hnsw");

    private readonly Option<int?> _efSearch = Make.Integer(
        "--ef-search", "With hnsw: cells kept in view by a search, at least top-k. Default: 320.", 1);

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

    /// <summary>Adds the options; a verb that compares modes leaves mode and top-k to itself, and may let them use an index.</summary>
    public void AddTo(Command command, bool withMode = true, bool withIndex = true)
    {
        if (withMode)
        {
            command.Options.Add(_mode);
            command.Options.Add(_topK);
        }

        if (withIndex)
        {
            command.Options.Add(_efSearch);
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
        Sinks = parse.GetValue(_sinks),
        Window = parse.GetValue(_window),
        Prefill = parse.GetValue(_prefill) == "dense" ? PrefillMode.Dense : PrefillMode.Sparse,
        Layers = parse.GetValue(_layers),
    };
}
