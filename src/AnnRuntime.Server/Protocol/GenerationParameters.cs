using System.Text.Json;

namespace AnnRuntime.Server.Protocol;

/// <summary>What chat and completion requests have in common.</summary>
internal abstract record GenerationParameters
{
    public string? Model { get; init; }

    public bool Stream { get; init; }

    public StreamOptions? StreamOptions { get; init; }

    public int? N { get; init; }

    public int? MaxTokens { get; init; }

    public int? MaxCompletionTokens { get; init; }

    public float? Temperature { get; init; }

    public float? TopP { get; init; }

    public int? TopK { get; init; }

    public float? MinP { get; init; }

    public float? RepeatPenalty { get; init; }

    public float? FrequencyPenalty { get; init; }

    public float? PresencePenalty { get; init; }

    public long? Seed { get; init; }

    /// <summary>A text or an array of texts.</summary>
    public JsonElement? Stop { get; init; }

    public Dictionary<string, float>? LogitBias { get; init; }

    public string? Grammar { get; init; }

    public AnnParameters? Ann { get; init; }
}

/// <summary>The member stream_options.</summary>
internal sealed record StreamOptions(bool IncludeUsage);

/// <summary>Ours: how the request searches, and whether it shows what it retrieves.</summary>
internal sealed record AnnParameters
{
    public string? Mode { get; init; }

    public int? TopK { get; init; }

    public bool Observe { get; init; }

    /// <summary>stop, shift or error.</summary>
    public string? Overflow { get; init; }
}

/// <summary>The body of /v1/completions.</summary>
internal sealed record CompletionRequest : GenerationParameters
{
    /// <summary>A text or an array of tokens.</summary>
    public JsonElement? Prompt { get; init; }
}

/// <summary>The body of /v1/chat/completions.</summary>
internal sealed record ChatCompletionRequest : GenerationParameters
{
    public IReadOnlyList<WireMessage>? Messages { get; init; }

    public IReadOnlyList<JsonElement>? Tools { get; init; }

    /// <summary>auto, none, required, or an object that names a function.</summary>
    public JsonElement? ToolChoice { get; init; }

    public bool? ParallelToolCalls { get; init; }

    public ResponseFormat? ResponseFormat { get; init; }
}

/// <summary>The member response_format.</summary>
internal sealed record ResponseFormat
{
    public string? Type { get; init; }

    public NamedSchema? JsonSchema { get; init; }
}

/// <summary>A JSON schema with its name.</summary>
internal sealed record NamedSchema
{
    public JsonElement? Schema { get; init; }
}

/// <summary>A message of a request.</summary>
internal sealed record WireMessage
{
    public string? Role { get; init; }

    /// <summary>A text, an array of parts of type text, or null.</summary>
    public JsonElement? Content { get; init; }

    public string? ReasoningContent { get; init; }

    public IReadOnlyList<WireToolCall>? ToolCalls { get; init; }

    public string? ToolCallId { get; init; }
}

/// <summary>A call of a tool.</summary>
internal sealed record WireToolCall
{
    public int? Index { get; init; }

    public string Id { get; init; } = "";

    public string Type { get; init; } = "function";

    public WireFunction Function { get; init; } = new("", "");
}

/// <summary>The function of a call; the arguments are JSON text.</summary>
internal sealed record WireFunction(string Name, string Arguments);

/// <summary>The body of /v1/embeddings.</summary>
internal sealed record EmbeddingRequest
{
    /// <summary>A text, an array of texts, an array of tokens, or an array of arrays of tokens.</summary>
    public JsonElement? Input { get; init; }

    public string? Model { get; init; }

    /// <summary>float or base64.</summary>
    public string? EncodingFormat { get; init; }

    public int? Dimensions { get; init; }
}

/// <summary>The body of /tokenize.</summary>
internal sealed record TokenizeRequest(string? Content, bool AddSpecial);

/// <summary>The body of /detokenize.</summary>
internal sealed record DetokenizeRequest(IReadOnlyList<int>? Tokens);
