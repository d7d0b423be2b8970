using System.Globalization;
using System.Text.Json;
using AnnRuntime.Server.Protocol;

namespace AnnRuntime.Server;

/// <summary>From the wire's requests to the engine's. Throws an <see cref="ApiException"/> that names the member.</summary>
internal static class RequestMapper
{
    public static GenerationRequest ToEngine(
        GenerationParameters from, IReadOnlyList<int> prompt, GenerationOptions options, ServerOptions server)
    {
        if (from.N is not (null or 1))
        {
            throw ApiException.Invalid($"n is {from.N}; this server gives one choice.", "n");
        }

        return new GenerationRequest
        {
            Prompt = prompt,
            Options = options with
            {
                MaxTokens = from.MaxCompletionTokens ?? from.MaxTokens ?? server.DefaultMaxTokens,
                StopStrings = [.. options.StopStrings, .. Stops(from.Stop)],
                Sampling = Sampling(from, options.Sampling),
            },
            Mode = Word<SearchMode>(from.Ann?.Mode, "ann.mode"),
            TopK = from.Ann?.TopK,
            Observe = from.Ann?.Observe ?? false,
            Overflow = Word<OverflowPolicy>(from.Ann?.Overflow, "ann.overflow") ?? OverflowPolicy.Stop,
        };
    }

    public static IReadOnlyList<ChatMessage> Messages(IReadOnlyList<WireMessage>? messages) =>
        messages is null or []
            ? throw ApiException.Invalid("messages is missing or empty; it needs at least one message.", "messages")
            : [.. messages.Select(Message)];

    public static ChatOptions Chat(ChatCompletionRequest from) => new()
    {
        Tools = from.Tools is [] ? null : from.Tools,
        ToolChoice = ToolChoice(from.ToolChoice),
        JsonSchema = Schema(from.ResponseFormat),
    };

    public static IReadOnlyList<int> Prompt(JsonElement? prompt, Tokenizer tokenizer) => prompt switch
    {
        { ValueKind: JsonValueKind.String } text => tokenizer.Tokenize(text.GetString()!),
        { ValueKind: JsonValueKind.Array } array when array.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number)
            => [.. array.EnumerateArray().Select(item => item.TryGetInt32(out int token)
                ? token
                : throw ApiException.Invalid($"prompt has {item}; tokens are whole numbers.", "prompt"))],
        { ValueKind: JsonValueKind.Array } array when array.GetArrayLength() == 1 => Prompt(array[0], tokenizer),
        _ => throw ApiException.Invalid("prompt must be one text or an array of tokens.", "prompt"),
    };

    private static ChatMessage Message(WireMessage message) =>
        new(message.Role ?? throw ApiException.Invalid("A message has no role.", "messages"), Content(message.Content))
        {
            ReasoningContent = message.ReasoningContent,
            ToolCallId = message.ToolCallId,
            ToolCalls = message.ToolCalls is null
                ? null
                : [.. message.ToolCalls.Select(call => new ChatToolCall(call.Id, call.Function.Name, call.Function.Arguments))],
        };

    private static string Content(JsonElement? content) => content switch
    {
        null or { ValueKind: JsonValueKind.Null } => "",
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        { ValueKind: JsonValueKind.Array } parts => string.Concat(parts.EnumerateArray().Select(part =>
            part.ValueKind == JsonValueKind.Object
            && part.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String
                ? text.GetString()
                : throw ApiException.Invalid("A message has a part that is no text; this server reads text only.", "messages"))),
        _ => throw ApiException.Invalid("A message's content must be a text or an array of text parts.", "messages"),
    };

    private static SamplingOptions Sampling(GenerationParameters from, SamplingOptions template) => new()
    {
        Grammar = from.Grammar ?? template.Grammar,
        GrammarPrefix = from.Grammar is null ? template.GrammarPrefix : null,
        Temperature = from.Temperature ?? template.Temperature,
        TopP = from.TopP ?? template.TopP,
        TopK = from.TopK ?? template.TopK,
        MinP = from.MinP ?? template.MinP,
        RepeatPenalty = from.RepeatPenalty ?? template.RepeatPenalty,
        FrequencyPenalty = from.FrequencyPenalty ?? template.FrequencyPenalty,
        PresencePenalty = from.PresencePenalty ?? template.PresencePenalty,
        Seed = from.Seed is { } seed ? unchecked((uint)(seed ^ (seed >> 32))) : null,
        LogitBias = from.LogitBias?.ToDictionary(
            pair => int.TryParse(pair.Key, NumberStyles.None, CultureInfo.InvariantCulture, out int token)
                ? token
                : throw ApiException.Invalid($"logit_bias has the key '{pair.Key}'; keys are tokens.", "logit_bias"),
            pair => pair.Value),
    };

    private static IEnumerable<string> Stops(JsonElement? stop) => stop switch
    {
        null or { ValueKind: JsonValueKind.Null } => [],
        { ValueKind: JsonValueKind.String } text => [text.GetString()!],
        { ValueKind: JsonValueKind.Array } array => [.. array.EnumerateArray().Select(item =>
            item.ValueKind == JsonValueKind.String
                ? item.GetString()!
                : throw ApiException.Invalid("stop has an item that is no text.", "stop"))],
        _ => throw ApiException.Invalid("stop must be a text or an array of texts.", "stop"),
    };

    private static string? ToolChoice(JsonElement? choice) => choice switch
    {
        null or { ValueKind: JsonValueKind.Null } => null,
        { ValueKind: JsonValueKind.String } word => word.GetString(),
        { ValueKind: JsonValueKind.Object } => "required",
        _ => throw ApiException.Invalid("tool_choice must be auto, none, required or an object.", "tool_choice"),
    };

    private static JsonElement? Schema(ResponseFormat? format) => format?.Type switch
    {
        null or "text" => null,
        "json_object" => JsonElement.Parse("""{"type":"object"}"""),
        "json_schema" => format.JsonSchema?.Schema
            ?? throw ApiException.Invalid("response_format.json_schema.schema is missing.", "response_format"),
        var other => throw ApiException.Invalid(
            $"response_format.type is '{other}'; it must be text, json_object or json_schema.", "response_format"),
    };

    private static T? Word<T>(string? word, string name)
        where T : struct, Enum =>
        word is null ? null
        : Enum.TryParse(word, ignoreCase: true, out T value) && !char.IsAsciiDigit(word.FirstOrDefault('0')) ? value
        : throw ApiException.Invalid(
            $"{name} is '{word}'; it must be one of {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}.", name);
}
