namespace AnnRuntime;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">system, user, assistant or tool.</param>
/// <param name="Content">The text.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>What the model thought before it answered; null where there is none.</summary>
    public string? ReasoningContent { get; init; }

    /// <summary>Calls of tools that the message makes; null or empty where there are none.</summary>
    public IReadOnlyList<ChatToolCall>? ToolCalls { get; init; }

    /// <summary>For the role tool: the call that this message answers.</summary>
    public string? ToolCallId { get; init; }
}
