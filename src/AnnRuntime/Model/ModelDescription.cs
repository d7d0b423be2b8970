using System.Text.Json;

namespace AnnRuntime;

/// <summary>What the library knows of a model file.</summary>
public sealed record ModelDescription
{
    /// <summary>One line: architecture, size and format.</summary>
    public string Description { get; init; } = "";

    /// <summary>Such as qwen3.</summary>
    public string Architecture { get; init; } = "";

    /// <summary>The file's metadata as text.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = new Dictionary<string, string>();

    /// <summary>Search projections and where they come from, as the file says; null for an ordinary model.</summary>
    public IReadOnlyDictionary<string, JsonElement>? Search { get; init; }

    /// <summary>Memory of one token at the default cache types.</summary>
    public CacheBytesPerToken CacheBytesPerToken { get; init; } = new(0, 0, 0);
}
