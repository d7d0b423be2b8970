using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>Length, types and places of the caches, and threads of a context.</summary>
internal sealed class ContextArguments
{
    private static readonly string[] CacheTypes = [.. Enum.GetNames<CacheType>().Select(name => name.ToLowerInvariant())];

    private readonly Option<int?> _length;
    private readonly Option<string?> _typeK = Make.Choice("--type-k", "Format of the keys. Default: f16.", CacheTypes);

    private readonly Option<string?> _typeV = Make.Choice(
        "--type-v", "Format of the values; quantised ones need flash attention. Default: f16.", CacheTypes);

    private readonly Option<string?> _typeS = Make.Choice(
        "--type-s", "Format of the search keys. Default: f16.", "f16", "f32", "q8_0");

    private readonly Option<string?> _kvMemory = Make.Choice(
        "--kv-memory",
        "Where keys and values are kept, and attention is computed. device: on the GPU that holds the layer. host: in main "
        + "memory, on the CPU. Default: device.",
        "device", "host");

    private readonly Option<string?> _searchMemory = Make.Choice(
        "--search-memory",
        "Where search keys are kept, and cells are searched. device: on the GPU that holds the layer; with --kv-memory host "
        + "for contexts beyond the GPU's memory. host: in main memory, on the CPU, as an index needs it. auto: with keys and "
        + "values, for --ann hnsw on the host. Default: auto.",
        "auto", "device", "host");

    private readonly Option<string?> _flash = Make.Choice(
        "--flash-attention", "Flash attention. Default: the library decides.", "on", "off");

    private readonly Option<int?> _threads = Make.Integer("--threads", "Threads. Default: physical cores.", 1, 1024);

    private readonly Option<int> _ubatch = Make.Integer(
        "--ubatch", "Tokens of the prompt computed at once.", 1, int.MaxValue, 512);

    /// <param name="lengthDefault">What --ctx says of its default; null: the verb has no --ctx.</param>
    public ContextArguments(string? lengthDefault) =>
        _length = Make.Integer("--ctx", $"Cells of the K/V cache, in tokens. Default: {lengthDefault}.", 1);

    public void AddTo(Command command, bool withLength = true)
    {
        if (withLength)
        {
            command.Options.Add(_length);
        }

        command.Options.Add(_typeK);
        command.Options.Add(_typeV);
        command.Options.Add(_typeS);
        command.Options.Add(_kvMemory);
        command.Options.Add(_searchMemory);
        command.Options.Add(_flash);
        command.Options.Add(_threads);
        command.Options.Add(_ubatch);
    }

    /// <summary>The options given.</summary>
    /// <param name="parse">The command line.</param>
    /// <param name="defaultLength">The length when none is given.</param>
    /// <param name="search">The search.</param>
    public ContextOptions Read(ParseResult parse, int defaultLength, SearchOptions search)
    {
        int? length = parse.GetResult(_length) is null ? null : parse.GetValue(_length);
        int ubatch = parse.GetValue(_ubatch);
        return new ContextOptions
        {
            ContextLength = length ?? defaultLength,
            KeyType = Type(parse, _typeK),
            ValueType = Type(parse, _typeV),
            SearchKeyType = Type(parse, _typeS),
            OffloadCache = parse.GetValue(_kvMemory) != "host",
            SearchMemory = parse.GetValue(_searchMemory) is { } memory ? Enum.Parse<SearchMemory>(memory, ignoreCase: true) : SearchMemory.Auto,
            FlashAttention = parse.GetValue(_flash) is { } flash ? flash == "on" : null,
            Threads = parse.GetValue(_threads) ?? 0,
            UbatchSize = ubatch,
            BatchSize = Math.Max(ubatch, 2048),
            Search = search,
        };
    }

    private static CacheType Type(ParseResult parse, Option<string?> option) =>
        parse.GetValue(option) is { } name ? Enum.Parse<CacheType>(name, ignoreCase: true) : CacheType.F16;
}
