using System.Text.Json.Serialization;

namespace AnnRuntime;

/// <summary>A conversation as a prompt, and how the answer is to be sampled and read.</summary>
public sealed record ChatPrompt
{
    /// <summary>The text to tokenize with special tokens recognised.</summary>
    public string Prompt { get; init; } = "";

    /// <summary>A grammar that the answer has to follow, empty for none.</summary>
    public string Grammar { get; init; } = "";

    /// <summary>The end of the prompt, with which the grammar begins.</summary>
    public string GenerationPrompt { get; init; } = "";

    /// <summary>Whether the grammar begins only with a tool call.</summary>
    public bool GrammarLazy { get; init; }

    /// <summary>Texts that end the answer.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Special tokens that must stay in the text for it to be parsed.</summary>
    public IReadOnlyList<string> PreservedTokens { get; init; } = [];

    /// <summary>The native answer, which parsing wants back.</summary>
    [JsonIgnore]
    internal string Applied { get; init; } = "";
}
