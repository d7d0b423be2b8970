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

    /// <summary>Texts that start a lazy grammar, as regular expressions.</summary>
    public IReadOnlyList<string> GrammarTriggerPatterns { get; init; } = [];

    /// <summary>Tokens that start a lazy grammar.</summary>
    public IReadOnlyList<int> GrammarTriggerTokens { get; init; } = [];

    /// <summary>Texts that end the answer.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Special tokens that must stay in the text for it to be parsed.</summary>
    public IReadOnlyList<string> PreservedTokens { get; init; } = [];

    /// <summary>The sampling that keeps to the grammar: at once, or once a tool call begins. Without a grammar, as it was.</summary>
    /// <param name="sampling">Everything else.</param>
    public SamplingOptions Constrain(SamplingOptions sampling)
    {
        ArgumentNullException.ThrowIfNull(sampling);
        bool starts = !GrammarLazy || GrammarTriggerPatterns.Count + GrammarTriggerTokens.Count > 0;
        return Grammar.Length == 0 || !starts
            ? sampling
            : sampling with
            {
                Grammar = Grammar,
                GrammarPrefix = GrammarLazy ? null : GenerationPrompt,
                GrammarTriggerPatterns = GrammarLazy ? GrammarTriggerPatterns : [],
                GrammarTriggerTokens = GrammarLazy ? GrammarTriggerTokens : [],
            };
    }

    /// <summary>The native answer, which parsing wants back.</summary>
    [JsonIgnore]
    internal string Applied { get; init; } = "";
}
