namespace AnnRuntime.Server;

/// <summary>What a server accepts.</summary>
public sealed record ServerOptions
{
    /// <summary>Keys of which a request must carry one (<c>Authorization: Bearer KEY</c>). Default none: open to all.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    /// <summary>The name of the model in answers. Default null: the file's name without its extension.</summary>
    public string? ModelName { get; init; }

    /// <summary>
    /// Whether requests that name another model are answered too, by this one. Default false: 404. Requests that name none
    /// are always answered.
    /// </summary>
    public bool AnyModel { get; init; }

    /// <summary>Tokens of an answer when the request sets no limit. Default 1024.</summary>
    /// <remarks>Cells are reserved for prompt and answer before a request starts, so "no limit" would serve one at a time.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int DefaultMaxTokens
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(DefaultMaxTokens), value, $"DefaultMaxTokens is {value}; it must be at least 1.");
    } = 1024;

    /// <summary>Most bytes of a request's body. Default 16 MiB.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long MaxBodyBytes
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(MaxBodyBytes), value, $"MaxBodyBytes is {value}; it must be at least 1.");
    } = 16 << 20;

    /// <summary>
    /// POST requests to /v1 that a client may make in a minute, 0 for no limit; more get 429. A client is an API key, or without
    /// keys an address. Default 0.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int RequestsPerMinute
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(RequestsPerMinute), value, $"RequestsPerMinute is {value}; it must be at least 0.");
    }

    /// <summary>Longest time of a request, waiting included. Default 10 minutes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public TimeSpan Timeout
    {
        get;
        init => field = value > TimeSpan.Zero
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Timeout), value, $"Timeout is {value}; it must be positive.");
    } = TimeSpan.FromMinutes(10);
}
