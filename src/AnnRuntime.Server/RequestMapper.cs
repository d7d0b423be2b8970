using System.Globalization;
using System.Text.Json;
using AnnRuntime.Server.Protocol;

namespace AnnRuntime.Server;

/// <summary>From the wire's requests to the engine's. Throws an <see cref="ApiException"/> that names the member.</summary>
internal static class RequestMapper
{
    /// <summary>Inputs of one request for embeddings, as OpenAI limits them.</summary>
    private const int MaxInputs = 2048;

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

    public static ChatOptions Chat(ChatCompletionRequest from)
    {
        string? only = OnlyFunction(from.ToolChoice);
        JsonElement[] tools = [.. (from.Tools ?? []).Where(tool => only is null || FunctionName(tool) == only)];
        if (only is not null && tools is [])
        {
            throw ApiException.Invalid(
                $"tool_choice names the function '{only}'; tools has {string.Join(", ", (from.Tools ?? []).Select(FunctionName))}.",
                "tool_choice");
        }

        return new ChatOptions
        {
            Tools = tools is [] ? null : tools,
            ToolChoice = ToolChoice(from.ToolChoice),
            ParallelToolCalls = from.ParallelToolCalls ?? false,
            JsonSchema = Schema(from.ResponseFormat),
        };
    }

    public static IReadOnlyList<int> Prompt(JsonElement? prompt, Tokenizer tokenizer) => prompt switch
    {
        { ValueKind: JsonValueKind.String } text => tokenizer.Tokenize(Text(text, "prompt")),
        { ValueKind: JsonValueKind.Array } array when IsTokens(array) => Tokens(array, "prompt"),
        { ValueKind: JsonValueKind.Array } array when array.GetArrayLength() == 1 => Prompt(array[0], tokenizer),
        _ => throw ApiException.Invalid("prompt must be one text or an array of tokens.", "prompt"),
    };

    /// <summary>The inputs of /v1/embeddings as tokens.</summary>
    public static IReadOnlyList<IReadOnlyList<int>> Inputs(JsonElement? input, Tokenizer tokenizer) => input switch
    {
        { ValueKind: JsonValueKind.String } text => [Input(text, tokenizer, 0)],
        { ValueKind: JsonValueKind.Array } array when array.GetArrayLength() == 0
            => throw ApiException.Invalid("input is an empty array; it needs at least one text.", "input"),
        { ValueKind: JsonValueKind.Array } array when IsTokens(array) => [Tokens(array, "input")],
        { ValueKind: JsonValueKind.Array } array when array.GetArrayLength() > MaxInputs
            => throw ApiException.Invalid($"input has {array.GetArrayLength()} items; one request takes 1..{MaxInputs}.", "input"),
        { ValueKind: JsonValueKind.Array } array => [.. array.EnumerateArray().Select((item, index) => Input(item, tokenizer, index))],
        _ => throw ApiException.Invalid("input must be a text, an array of texts, an array of tokens, or an array of such arrays.", "input"),
    };

    private static IReadOnlyList<int> Input(JsonElement item, Tokenizer tokenizer, int index) => item switch
    {
        { ValueKind: JsonValueKind.String } when item.ValueEquals("")
            => throw ApiException.Invalid($"input[{index}] is empty; an embedding needs a text.", "input"),
        { ValueKind: JsonValueKind.String } => tokenizer.Tokenize(Text(item, $"input[{index}]")),
        { ValueKind: JsonValueKind.Array } when item.GetArrayLength() > 0 && IsTokens(item) => Tokens(item, $"input[{index}]"),
        _ => throw ApiException.Invalid($"input[{index}] must be a text or an array of tokens with at least one.", "input"),
    };

    private static bool IsTokens(JsonElement array) => array.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number);

    private static IReadOnlyList<int> Tokens(JsonElement array, string name) =>
    [
        .. array.EnumerateArray().Select(item => item.TryGetInt32(out int token)
            ? token
            : throw ApiException.Invalid($"{name} has {item}; tokens are whole numbers.", name)),
    ];

    private static ChatMessage Message(WireMessage message) =>
        new(Role(message.Role ?? throw ApiException.Invalid("A message has no role.", "messages")), Content(message.Content))
        {
            ReasoningContent = message.ReasoningContent,
            ToolCallId = message.ToolCallId,
            ToolCalls = message.ToolCalls is null
                ? null
                : [.. message.ToolCalls.Select(call => new ChatToolCall(call.Id, call.Function.Name, call.Function.Arguments))],
        };

    // OpenAI's newer name for instructions; templates know the older one
    private static string Role(string role) => role == "developer" ? "system" : role;

    private static string Content(JsonElement? content) => content switch
    {
        null or { ValueKind: JsonValueKind.Null } => "",
        { ValueKind: JsonValueKind.String } text => Text(text, "messages"),
        { ValueKind: JsonValueKind.Array } parts => string.Concat(parts.EnumerateArray().Select(part =>
            part.ValueKind == JsonValueKind.Object
            && part.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String
                ? Text(text, "messages")
                : throw ApiException.Invalid("A message has a part that is no text; this server reads text only.", "messages"))),
        _ => throw ApiException.Invalid("A message's content must be a text or an array of text parts.", "messages"),
    };

    // a grammar of the request's own takes the place of the template's
    private static SamplingOptions Sampling(GenerationParameters from, SamplingOptions template) => (from.Grammar is null
        ? template
        : new SamplingOptions { Grammar = from.Grammar }) with
    {
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
        { ValueKind: JsonValueKind.String } text => [Text(text, "stop")],
        { ValueKind: JsonValueKind.Array } array => [.. array.EnumerateArray().Select(item =>
            item.ValueKind == JsonValueKind.String
                ? Text(item, "stop")
                : throw ApiException.Invalid("stop has an item that is no text.", "stop"))],
        _ => throw ApiException.Invalid("stop must be a text or an array of texts.", "stop"),
    };

    private static string? ToolChoice(JsonElement? choice) => choice switch
    {
        null or { ValueKind: JsonValueKind.Null } => null,
        { ValueKind: JsonValueKind.String } word when Array.Find(["auto", "none", "required"], word.ValueEquals) is { } known => known,
        { ValueKind: JsonValueKind.Object } => "required",
        _ => throw ApiException.Invalid(
            $"tool_choice is {choice}; it must be \"auto\", \"none\", \"required\" or an object that names a function.", "tool_choice"),
    };

    // a choice of one function leaves the model no other
    private static string? OnlyFunction(JsonElement? choice) => choice is { ValueKind: JsonValueKind.Object } one
        ? FunctionName(one) ?? throw ApiException.Invalid(
            "tool_choice is an object without function.name; it must name a function.", "tool_choice")
        : null;

    private static string? FunctionName(JsonElement tool) =>
        tool.ValueKind == JsonValueKind.Object
        && tool.TryGetProperty("function", out JsonElement function) && function.ValueKind == JsonValueKind.Object
        && function.TryGetProperty("name", out JsonElement name) && name.ValueKind == JsonValueKind.String
            ? Text(name, "tools")
            : null;

    private static JsonElement? Schema(ResponseFormat? format) => format?.Type switch
    {
        null or "text" => null,
        "json_object" => JsonElement.Parse("""{"type":"object"}"""),
        "json_schema" => format.JsonSchema?.Schema
            ?? throw ApiException.Invalid("response_format.json_schema.schema is missing.", "response_format"),
        var other => throw ApiException.Invalid(
            $"response_format.type is '{other}'; it must be text, json_object or json_schema.", "response_format"),
    };

    private static string Text(JsonElement text, string name)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Invalid($"{name} has half of a surrogate pair; it must be valid Unicode.", name);
        }
    }

    private static T? Word<T>(string? word, string name)
        where T : struct, Enum =>
        word is null ? null
        : Enum.TryParse(word, ignoreCase: true, out T value) && !char.IsAsciiDigit(word.FirstOrDefault('0')) ? value
        : throw ApiException.Invalid(
            $"{name} is '{word}'; it must be one of {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}.", name);
}
