using System.Text.Json;

namespace AnnRuntime;

/// <summary>How a chat template is applied.</summary>
public sealed record ChatOptions
{
    /// <summary>Ends the prompt with the start of the assistant's turn. Default true.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>Lets a model that can think do so. Default true.</summary>
    public bool EnableThinking { get; init; } = true;

    /// <summary>Tools in OpenAI's shape. Default none.</summary>
    public IReadOnlyList<JsonElement>? Tools { get; init; }

    /// <summary>auto, none or required. Default null: the library's.</summary>
    public string? ToolChoice { get; init; }

    /// <summary>Lets an answer call several tools, where the template has a form for it. Default false.</summary>
    public bool ParallelToolCalls { get; init; }

    /// <summary>A JSON schema that the answer has to follow. Default none.</summary>
    public JsonElement? JsonSchema { get; init; }

    /// <summary>A jinja template instead of the model's. Default none.</summary>
    public string? Template { get; init; }
}
