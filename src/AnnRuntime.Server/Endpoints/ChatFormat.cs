using System.Text;
using AnnRuntime.Server.Protocol;

namespace AnnRuntime.Server.Endpoints;

/// <summary>The format of /v1/chat/completions: text is parsed by the template's format. Tool calls come whole, at the end.</summary>
internal sealed class ChatFormat(ChatPrompt prompt) : IAnswerFormat
{
    private int _content;
    private int _reasoning;

    public string IdPrefix => "chatcmpl";

    public string Object => "chat.completion";

    public string ChunkObject => "chat.completion.chunk";

    public bool HasToolCalls { get; private set; }

    public Choice Whole(GenerationResult result)
    {
        ChatMessage message = Parse(result);
        return new Choice
        {
            Message = new AnswerMessage
            {
                Role = "assistant",
                Content = message.Content,
                ReasoningContent = NullIfEmpty(message.ReasoningContent),
                ToolCalls = Calls(message, withIndex: false),
            },
        };
    }

    public Choice? Begin() => new() { Delta = new AnswerMessage { Role = "assistant", Content = "" } };

    public Choice? Delta(StringBuilder all, string added) =>
        added.Length == 0 ? null : Rest(ChatTemplate.Parse(all.ToString(), prompt, isPartial: true));

    public Choice End(GenerationResult result)
    {
        ChatMessage message = Parse(result);
        Choice rest = Rest(message) ?? new Choice { Delta = new AnswerMessage() };
        return rest with { Delta = rest.Delta! with { ToolCalls = Calls(message, withIndex: true) } };
    }

    // an answer that was cut off does not follow the format to its end
    private ChatMessage Parse(GenerationResult result)
    {
        bool isPartial = result.FinishReason is FinishReason.MaxTokens or FinishReason.ContextFull;
        ChatMessage message;
        try
        {
            message = ChatTemplate.Parse(result.Text, prompt, isPartial);
        }
        catch (ArgumentException) when (!isPartial)
        {
            message = new ChatMessage("assistant", result.Text);
        }

        HasToolCalls = message.ToolCalls is { Count: > 0 } && !isPartial;
        return message;
    }

    private Choice? Rest(ChatMessage message)
    {
        string? content = Rest(message.Content, ref _content);
        string? reasoning = Rest(message.ReasoningContent, ref _reasoning);
        return content is null && reasoning is null
            ? null
            : new Choice { Delta = new AnswerMessage { Content = content, ReasoningContent = reasoning } };
    }

    private static string? Rest(string? text, ref int sent)
    {
        if (text is null || text.Length <= sent)
        {
            return null;
        }

        string rest = text[sent..];
        sent = text.Length;
        return rest;
    }

    private IReadOnlyList<WireToolCall>? Calls(ChatMessage message, bool withIndex) => !HasToolCalls
        ? null
        : [.. message.ToolCalls!.Select((call, index) => new WireToolCall
        {
            Index = withIndex ? index : null,
            Id = call.Id.Length > 0 ? call.Id : $"call_{Guid.NewGuid():N}",
            Function = new WireFunction(call.Name, call.Arguments),
        })];

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
