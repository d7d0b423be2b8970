using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.AI;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>From the abstraction's messages and options to the engine's. Changes nothing of the caller's.</summary>
internal static class ChatRequestMapper
{
    public static IReadOnlyList<ChatMessage> Messages(IReadOnlyList<Meai.ChatMessage> messages, Meai.ChatOptions? options)
    {
        List<ChatMessage> all = [];
        if (!string.IsNullOrEmpty(options?.Instructions))
        {
            all.Add(new ChatMessage("system", options.Instructions));
        }

        foreach (Meai.ChatMessage message in messages)
        {
            FunctionResultContent[] results = [.. message.Contents.OfType<FunctionResultContent>()];
            all.AddRange(results.Select(result => new ChatMessage("tool", Text(result.Result)) { ToolCallId = result.CallId }));
            if (results.Length == 0 || message.Text.Length > 0)
            {
                all.Add(Message(message));
            }
        }

        return all;
    }

    public static ChatOptions Template(Meai.ChatOptions? options)
    {
        JsonElement[] tools = options?.ToolMode is NoneChatToolMode ? [] : [.. Tools(options)];
        if (tools is [] && options?.ToolMode is RequiredChatToolMode { RequiredFunctionName: { } missing })
        {
            throw new ArgumentException($"The function '{missing}' is required but is not among the tools.", nameof(options));
        }

        return new ChatOptions
        {
            EnableThinking = options?.Reasoning?.Effort is not ReasoningEffort.None,
            Tools = tools is [] ? null : tools,
            ToolChoice = tools is [] ? null : options!.ToolMode is RequiredChatToolMode ? "required" : "auto",
            ParallelToolCalls = options?.AllowMultipleToolCalls ?? false,
            JsonSchema = options?.ResponseFormat is ChatResponseFormatJson json
                ? json.Schema ?? JsonElement.Parse("""{"type":"object"}""")
                : null,
        };
    }

    public static GenerationRequest ToEngine(
        IReadOnlyList<int> tokens, ChatPrompt prompt, Meai.ChatOptions? options, GenerationRequest? template)
    {
        GenerationRequest basis = template ?? new GenerationRequest { Prompt = tokens };
        // a grammar of the caller's own takes the place of the template's
        SamplingOptions sampling = basis.Options.Sampling.Grammar is null
            ? prompt.Constrain(basis.Options.Sampling)
            : basis.Options.Sampling;
        return basis with
        {
            Prompt = tokens,
            Operation = "chat",
            Options = basis.Options with
            {
                MaxTokens = options?.MaxOutputTokens ?? (template is null ? 1024 : basis.Options.MaxTokens),
                StopStrings = [.. basis.Options.StopStrings, .. prompt.Stops, .. options?.StopSequences ?? []],
                ShownTokens = prompt.PreservedTokens,
                Sampling = sampling with
                {
                    Temperature = options?.Temperature ?? sampling.Temperature,
                    TopP = options?.TopP ?? sampling.TopP,
                    TopK = options?.TopK ?? sampling.TopK,
                    FrequencyPenalty = options?.FrequencyPenalty ?? sampling.FrequencyPenalty,
                    PresencePenalty = options?.PresencePenalty ?? sampling.PresencePenalty,
                    Seed = options?.Seed is { } seed ? unchecked((uint)(seed ^ (seed >> 32))) : sampling.Seed,
                },
            },
        };
    }

    private static ChatMessage Message(Meai.ChatMessage message)
    {
        if (message.Contents.FirstOrDefault(content => content is DataContent or UriContent) is { } other)
        {
            throw new ArgumentException(
                $"A message has a {other.GetType().Name}; this client reads text, reasoning and tool calls only.", nameof(message));
        }

        string reasoning = string.Concat(message.Contents.OfType<TextReasoningContent>().Select(content => content.Text));
        return new ChatMessage(message.Role.Value, message.Text)
        {
            ReasoningContent = reasoning.Length > 0 ? reasoning : null,
            ToolCalls = [.. message.Contents.OfType<FunctionCallContent>()
                .Select(call => new ChatToolCall(call.CallId, call.Name, Arguments(call)))],
        };
    }

    // a required function leaves the model no other
    private static IEnumerable<JsonElement> Tools(Meai.ChatOptions? options)
    {
        string? only = (options?.ToolMode as RequiredChatToolMode)?.RequiredFunctionName;
        return (options?.Tools ?? []).OfType<AIFunctionDeclaration>()
            .Where(tool => only is null || tool.Name == only)
            .Select(tool => JsonElement.Parse(new JsonObject
            {
                ["type"] = "function",
                ["function"] = new JsonObject
                {
                    ["name"] = tool.Name,
                    ["description"] = tool.Description,
                    ["parameters"] = JsonNode.Parse(tool.JsonSchema.GetRawText()),
                },
            }.ToJsonString()));
    }

    private static string Arguments(FunctionCallContent call)
    {
        var json = new JsonObject();
        foreach ((string name, object? value) in call.Arguments ?? new Dictionary<string, object?>())
        {
            json[name] = value is null ? null : JsonNode.Parse(Json(value));
        }

        return json.ToJsonString();
    }

    private static string Text(object? result) => result switch
    {
        null => "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        _ => Json(result),
    };

    private static string Json(object value) => value is JsonElement element
        ? element.GetRawText()
        : JsonSerializer.Serialize(value, AIJsonUtilities.DefaultOptions.GetTypeInfo(value.GetType()));
}
