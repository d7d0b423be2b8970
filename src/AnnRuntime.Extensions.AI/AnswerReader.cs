using System.Text.Json;
using Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>A growing answer to contents: text, reasoning, and at the end calls of tools.</summary>
internal sealed class AnswerReader(ChatPrompt prompt)
{
    private int _content;
    private int _reasoning;

    /// <summary>What is new in the text so far.</summary>
    public List<AIContent> Read(string text) => Added(ChatTemplate.Parse(text, prompt, isPartial: true));

    /// <summary>The rest of the answer.</summary>
    public List<AIContent> End(GenerationResult result, out ChatFinishReason reason)
    {
        bool isCut = result.FinishReason is FinishReason.MaxTokens or FinishReason.ContextFull;
        ChatMessage message;
        try
        {
            message = ChatTemplate.Parse(result.Text, prompt, isCut);
        }
        catch (ArgumentException) when (!isCut)
        {
            message = new ChatMessage("assistant", result.Text); // the model did not follow its own format
        }

        List<AIContent> contents = Added(message);
        reason = isCut ? ChatFinishReason.Length : ChatFinishReason.Stop;
        if (!isCut && message.ToolCalls is { Count: > 0 } calls)
        {
            contents.AddRange(calls.Select(Call));
            reason = ChatFinishReason.ToolCalls;
        }

        return contents;
    }

    private List<AIContent> Added(ChatMessage message)
    {
        List<AIContent> contents = [];
        if (message.ReasoningContent is { } thought && thought.Length > _reasoning)
        {
            contents.Add(new TextReasoningContent(thought[_reasoning..]));
            _reasoning = thought.Length;
        }

        if (message.Content.Length > _content)
        {
            contents.Add(new TextContent(message.Content[_content..]));
            _content = message.Content.Length;
        }

        return contents;
    }

    private static FunctionCallContent Call(ChatToolCall call)
    {
        string id = call.Id.Length > 0 ? call.Id : $"call_{Guid.NewGuid():N}";
        try
        {
            using JsonDocument arguments = JsonDocument.Parse(call.Arguments);
            return new FunctionCallContent(id, call.Name, arguments.RootElement.EnumerateObject()
                .ToDictionary(member => member.Name, member => (object?)member.Value.Clone()));
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return new FunctionCallContent(id, call.Name) { Exception = exception };
        }
    }
}
