using System.Text.Json;

namespace AnnRuntime;

/// <summary>What the native template engine is asked, in OpenAI's shape.</summary>
internal sealed record ChatRequest
{
    public required IReadOnlyList<ChatRequestMessage> Messages { get; init; }

    public bool AddGenerationPrompt { get; init; }

    public bool EnableThinking { get; init; }

    public IReadOnlyList<JsonElement>? Tools { get; init; }

    public string? ToolChoice { get; init; }

    public bool ParallelToolCalls { get; init; }

    public JsonElement? JsonSchema { get; init; }

    public string? Template { get; init; }
}

/// <summary>A message with its tool calls nested as OpenAI nests them.</summary>
internal sealed record ChatRequestMessage
{
    public required string Role { get; init; }

    public required string Content { get; init; }

    public string? ReasoningContent { get; init; }

    public IReadOnlyList<ChatRequestToolCall>? ToolCalls { get; init; }

    public string? ToolCallId { get; init; }
}

/// <summary>A tool call of a request.</summary>
internal sealed record ChatRequestToolCall(string Id, string Type, ChatRequestFunction Function);

/// <summary>The function of a tool call.</summary>
internal sealed record ChatRequestFunction(string Name, string Arguments);
