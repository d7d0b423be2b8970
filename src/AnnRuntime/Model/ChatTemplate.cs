using System.Text.Json;
using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Messages to a prompt, and an answer to a message. Any number of threads may use it.</summary>
public sealed class ChatTemplate
{
    private readonly AnnModel _model;

    internal ChatTemplate(AnnModel model) => _model = model;

    /// <summary>Applies the model's jinja template.</summary>
    /// <param name="messages">The conversation, at least one message.</param>
    /// <param name="options">Default: the prompt ends where the assistant's answer begins.</param>
    /// <exception cref="ArgumentException">No messages, or some that the template refuses.</exception>
    /// <exception cref="UnsupportedModelException">
    /// The model has no template, or a tool call is required and its template has no form for one.
    /// </exception>
    public ChatPrompt Apply(IReadOnlyList<ChatMessage> messages, ChatOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (messages.Count == 0)
        {
            throw new ArgumentException("The conversation has no message; it needs at least one.", nameof(messages));
        }

        options ??= new ChatOptions();
        var request = new ChatRequest
        {
            Messages = [.. messages.Select(ToRequest)],
            AddGenerationPrompt = options.AddGenerationPrompt,
            EnableThinking = options.EnableThinking,
            Tools = options.Tools,
            ToolChoice = options.ToolChoice,
            ParallelToolCalls = options.ParallelToolCalls,
            JsonSchema = options.JsonSchema,
            Template = options.Template,
        };
        string applied = _model.Handle.ApplyChat(JsonSerializer.Serialize(request, AnnJsonContext.Default.ChatRequest));
        ChatPrompt prompt = JsonSerializer.Deserialize(applied, AnnJsonContext.Default.ChatPrompt)
            ?? throw new AnnRuntimeException("The native library applied the chat template to null.");
        if (options.ToolChoice == "required" && options.Tools is { Count: > 0 } && prompt.Grammar.Length == 0)
        {
            throw new UnsupportedModelException(
                "A tool call is required, but the chat template of the model has no form for tool calls. "
                + "Leave the choice to the model (auto), or take a model whose template knows tools.");
        }

        return prompt with
        {
            Applied = applied,
            Grammar = options.ToolChoice == "required" ? ToolGrammar.Tighten(prompt.Grammar, options.ParallelToolCalls) : prompt.Grammar,
        };
    }

    /// <summary>Reads an answer: content, reasoning and tool calls.</summary>
    /// <param name="text">The generated text.</param>
    /// <param name="prompt">What <see cref="Apply"/> returned for it.</param>
    /// <param name="isPartial">More text will come. Default false.</param>
    /// <exception cref="ArgumentException">A whole text that does not follow the format.</exception>
    public static ChatMessage Parse(string text, ChatPrompt prompt, bool isPartial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(prompt);
        string parsed = ModelHandle.ParseChat(text, isPartial, prompt.Applied);
        return JsonSerializer.Deserialize(parsed, AnnJsonContext.Default.ChatMessage)
            ?? throw new AnnRuntimeException("The native library parsed the answer to null.");
    }

    private static ChatRequestMessage ToRequest(ChatMessage message) => new()
    {
        Role = message.Role,
        Content = message.Content,
        ReasoningContent = message.ReasoningContent,
        ToolCallId = message.ToolCallId,
        ToolCalls = message.ToolCalls is null or []
            ? null
            : [.. message.ToolCalls.Select(call =>
                new ChatRequestToolCall(call.Id, "function", new ChatRequestFunction(call.Name, call.Arguments)))],
    };
}
