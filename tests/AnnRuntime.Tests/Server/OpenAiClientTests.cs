using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using AnnRuntime.Server;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;
using Xunit;
using Wire = OpenAI.Chat;

namespace AnnRuntime.Tests.Server;

/// <summary>The official client of OpenAI against the running server: what it sends is understood, what it gets it reads.</summary>
public sealed class OpenAiClientTests(ToolModelFixture fixture) : IAsyncLifetime
{
    private const string Key = "secret";

    private static readonly ChatTool Rain = ChatTool.CreateFunctionTool("rain", "Whether it rains", BinaryData.FromString(
        """{"type":"object","properties":{"days":{"type":"integer"}},"required":["days"],"additionalProperties":false}"""));

    private static readonly ChatTool Tides = ChatTool.CreateFunctionTool("tides", "The next tide", BinaryData.FromString(
        """{"type":"object","properties":{"harbour":{"enum":["Bergen","Oslo"]}},"required":["harbour"],"additionalProperties":false}"""));

    private ServerFixture _server = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string ModelName => Path.GetFileNameWithoutExtension(fixture.Model.Path);

    public async ValueTask InitializeAsync() => _server = await ServerFixture.StartAsync(
        fixture.Model,
        new ServerOptions { ApiKeys = [Key], MaxBodyBytes = 100_000 },
        new EngineOptions
        {
            Context = new ContextOptions { ContextLength = 2048, MaxSequences = 2, UbatchSize = 128 },
            QueueLimit = 0,
        });

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task A_chat_has_text_usage_and_a_reason()
    {
        ChatCompletion answer = await Chat().CompleteChatAsync(
            [new DeveloperChatMessage("Answer briefly."), new UserChatMessage("What does a compiler do?")], Greedy(), Token);

        Assert.NotEmpty(answer.Content[0].Text);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Equal(ChatFinishReason.Length, answer.FinishReason);
        Assert.Equal(ModelName, answer.Model);
        Assert.StartsWith("chatcmpl-", answer.Id, StringComparison.Ordinal);
        Assert.InRange(answer.CreatedAt, DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
        Assert.Equal((12, 0), (answer.Usage.OutputTokenCount, answer.Usage.InputTokenDetails.CachedTokenCount));
        Assert.Equal(answer.Usage.InputTokenCount + 12, answer.Usage.TotalTokenCount);

        // the older name for instructions gives the same prompt, whose cells are there
        ChatCompletion again = await Chat().CompleteChatAsync(
            [new SystemChatMessage("Answer briefly."), new UserChatMessage("What does a compiler do?")], Greedy(), Token);
        Assert.Equal(
            (answer.Content[0].Text, answer.Usage.InputTokenCount - 1),
            (again.Content[0].Text, again.Usage.InputTokenDetails.CachedTokenCount));
    }

    [Fact]
    public async Task A_stream_is_the_whole_answer_in_pieces()
    {
        ChatCompletion whole = await Chat().CompleteChatAsync([new UserChatMessage("What is a cache?")], Greedy(), Token);
        List<StreamingChatCompletionUpdate> updates = await StreamAsync([new UserChatMessage("What is a cache?")], Greedy());

        Assert.Equal(whole.Content[0].Text, Text(updates));
        Assert.True(updates.Count(update => update.ContentUpdate.Count > 0) > 3, "the answer came in one piece");
        Assert.Equal(ChatFinishReason.Length, Assert.Single(updates, update => update.FinishReason is not null).FinishReason);
        Assert.Equal(
            whole.Usage.TotalTokenCount, Assert.Single(updates, update => update.Usage is not null).Usage.TotalTokenCount);
        Assert.Single(updates.Select(update => update.CompletionId).Distinct());
        Assert.Equal(ChatMessageRole.Assistant, updates[0].Role);
    }

    [Fact]
    public async Task A_stop_sequence_ends_the_answer()
    {
        ChatCompletion whole = await Chat().CompleteChatAsync([new UserChatMessage("What is a cache?")], Greedy(), Token);
        string stop = whole.Content[0].Text[4..8];
        ChatCompletionOptions options = Greedy();
        options.StopSequences.Add(stop);
        ChatCompletion cut = await Chat().CompleteChatAsync([new UserChatMessage("What is a cache?")], options, Token);
        Assert.Equal(ChatFinishReason.Stop, cut.FinishReason);
        Assert.Equal(whole.Content[0].Text[..whole.Content[0].Text.IndexOf(stop, StringComparison.Ordinal)], cut.Content[0].Text);
    }

    [Fact]
    public async Task A_chosen_function_is_called_and_its_result_is_read()
    {
        ChatCompletionOptions options = Greedy(tokens: 80);
        options.Tools.Add(Rain);
        options.Tools.Add(Tides);
        options.ToolChoice = ChatToolChoice.CreateFunctionChoice("tides");
        List<Wire.ChatMessage> messages = [new UserChatMessage("When is the next tide?")];
        ChatCompletion call = await Chat().CompleteChatAsync(messages, options, Token);

        Assert.Equal(ChatFinishReason.ToolCalls, call.FinishReason);
        Wire.ChatToolCall tides = Assert.Single(call.ToolCalls);
        Assert.Equal("tides", tides.FunctionName);
        Assert.NotEmpty(tides.Id);
        Assert.Contains(Arguments(tides).GetProperty("harbour").GetString(), (string[])["Bergen", "Oslo"]);

        messages.AddRange([new AssistantChatMessage(call), new ToolChatMessage(tides.Id, "at 14:20")]);
        options.ToolChoice = ChatToolChoice.CreateNoneChoice();
        ChatCompletion answer = await Chat().CompleteChatAsync(messages, options, Token);
        Assert.Empty(answer.ToolCalls);
        Assert.True(answer.Usage.InputTokenCount > call.Usage.InputTokenCount, "the result was not read");

        options.ToolChoice = ChatToolChoice.CreateRequiredChoice();
        ChatCompletion required = await Chat().CompleteChatAsync([new UserChatMessage("Will it rain?")], options, Token);
        Assert.Contains(Assert.Single(required.ToolCalls).FunctionName, (string[])["rain", "tides"]);
    }

    [Fact]
    public async Task A_streamed_call_is_the_whole_one()
    {
        ChatCompletionOptions options = Greedy(tokens: 80);
        options.Tools.Add(Rain);
        options.ToolChoice = ChatToolChoice.CreateRequiredChoice();
        Wire.ChatMessage[] messages = [new UserChatMessage("Will it rain?")];
        Wire.ChatToolCall whole = (await Chat().CompleteChatAsync(messages, options, Token)).Value.ToolCalls[0];
        List<StreamingChatCompletionUpdate> updates = await StreamAsync(messages, options);

        StreamingChatToolCallUpdate[] parts = [.. updates.SelectMany(update => update.ToolCallUpdates)];
        Assert.Equal("rain", Assert.Single(parts, part => part.FunctionName is not null).FunctionName);
        Assert.NotEmpty(Assert.Single(parts, part => part.ToolCallId is not null).ToolCallId);
        Assert.All(parts, part => Assert.Equal(0, part.Index));
        Assert.Equal(whole.FunctionArguments.ToString(), string.Concat(parts.Select(part => part.FunctionArgumentsUpdate)));
        Assert.Equal(
            ChatFinishReason.ToolCalls, Assert.Single(updates, update => update.FinishReason is not null).FinishReason);
        Assert.Equal("", Text(updates));
    }

    [Fact]
    public async Task A_schema_is_followed()
    {
        ChatCompletionOptions options = Greedy(tokens: 60);
        options.ResponseFormat = ChatResponseFormat.CreateJsonSchemaFormat(
            "weather",
            BinaryData.FromString("""
                {"type":"object","properties":{"wet":{"type":"boolean"},"wind":{"enum":["calm","storm"]}},
                 "required":["wet","wind"],"additionalProperties":false}
                """),
            jsonSchemaIsStrict: true);
        ChatCompletion answer = await Chat().CompleteChatAsync([new UserChatMessage("Describe the weather.")], options, Token);
        JsonElement weather = JsonElement.Parse(answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Contains(weather.GetProperty("wet").ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
        Assert.Contains(weather.GetProperty("wind").GetString(), (string[])["calm", "storm"]);
    }

    [Fact]
    public async Task Models_are_listed_and_described()
    {
        OpenAIModelClient models = Client().GetOpenAIModelClient();
        OpenAIModel only = Assert.Single((OpenAIModelCollection)await models.GetModelsAsync(Token));
        Assert.Equal((ModelName, "ann-runtime"), (only.Id, only.OwnedBy));
        Assert.Equal(only.CreatedAt, ((OpenAIModel)await models.GetModelAsync(ModelName, Token)).CreatedAt);
        (int status, string message) = await RefusalAsync(() => models.GetModelAsync("gpt-nothing", Token));
        Assert.Equal(404, status);
        Assert.Contains($"this server has '{ModelName}'", message, StringComparison.Ordinal);
    }

    /// <summary>The package has no client for completions, but its pipeline, with its key, reaches them.</summary>
    [Fact]
    public async Task A_completion_comes_through_the_clients_pipeline()
    {
        JsonElement answer = await SendAsync("completions", $$"""
            {"model":"{{ModelName}}","prompt":"The memory of a computer","max_tokens":8,"temperature":0}
            """);
        JsonElement choice = answer.GetProperty("choices")[0];
        Assert.NotEmpty(choice.GetProperty("text").GetString()!);
        Assert.Equal("length", choice.GetProperty("finish_reason").GetString());
        Assert.Equal(8, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
    }

    [Fact]
    public async Task Every_refusal_has_its_status_and_says_why()
    {
        Wire.ChatMessage[] hello = [new UserChatMessage("Hello")];
        await Refused(401, "API key", () => Chat(key: "wrong").CompleteChatAsync(hello, Greedy(), Token));
        await Refused(404, "no model 'gpt-nothing'", () => Chat("gpt-nothing").CompleteChatAsync(hello, Greedy(), Token));
        await Refused(400, "Temperature is -1", () => Chat().CompleteChatAsync(hello, new ChatCompletionOptions { Temperature = -1 }, Token));
        await Refused(400, "no valid JSON", () => SendAsync("chat/completions", "{\"messages\":"));
        await Refused(400, "2048 cells", () => Chat().CompleteChatAsync(
            [new UserChatMessage(string.Concat(Enumerable.Repeat("word ", 3000)))], Greedy(), Token));
        await Refused(413, "too large", () => Chat().CompleteChatAsync([new UserChatMessage(new string('x', 120_000))], Greedy(), Token));

        ChatCompletionOptions named = Greedy();
        named.Tools.Add(Rain);
        named.ToolChoice = ChatToolChoice.CreateFunctionChoice("snow");
        await Refused(400, "tools has rain", () => Chat().CompleteChatAsync(hello, named, Token));
        await Refused(400, "no text", () => Chat().CompleteChatAsync(
            [new UserChatMessage(ChatMessageContentPart.CreateImagePart(new Uri("http://127.0.0.1/x.png")))], Greedy(), Token));
    }

    [Fact]
    public async Task A_full_server_says_so_and_serves_again_when_a_client_leaves()
    {
        Wire.ChatMessage[] hello = [new UserChatMessage("Hello")];
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(Token);
        ChatCompletionOptions endless = Greedy(tokens: 900);
        endless.LogitBiases[fixture.Model.Tokenizer.EndToken!.Value] = -100;
        endless.LogitBiases[fixture.Model.Tokenizer.Tokenize("<|im_end|>", addSpecial: false, parseSpecial: true)[0]] = -100;
        List<Task> streams = [];
        for (int stream = 0; stream < 2; stream++)
        {
            var begun = new TaskCompletionSource();
            streams.Add(Task.Run(async () =>
            {
                await foreach (StreamingChatCompletionUpdate update in Chat().CompleteChatStreamingAsync(hello, endless, leave.Token))
                {
                    // the first event has the role and no text, and comes while the request may still wait
                    if (Text([update]).Length > 0)
                    {
                        begun.TrySetResult();
                    }
                }
            }, Token));
            await Task.WhenAny(begun.Task, streams[stream]);
        }

        await Refused(429, "2 requests are computed", () => Chat().CompleteChatAsync(hello, Greedy(), Token));
        await leave.CancelAsync();
        foreach (Task stream in streams)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stream);
        }

        // the client's own retries carry it over the moment until the sequences are free
        ChatClient patient = Client(retries: 8).GetChatClient(ModelName);
        Assert.NotEmpty((await patient.CompleteChatAsync(hello, Greedy(), Token)).Value.Content[0].Text);
    }

    private static ChatCompletionOptions Greedy(int tokens = 12) => new() { Temperature = 0, MaxOutputTokenCount = tokens };

    private static JsonElement Arguments(Wire.ChatToolCall call) => JsonElement.Parse(call.FunctionArguments.ToString());

    private static string Text(IEnumerable<StreamingChatCompletionUpdate> updates) =>
        string.Concat(updates.SelectMany(update => update.ContentUpdate).Select(part => part.Text));

    private static async Task Refused(int expected, string why, Func<Task> request)
    {
        (int status, string message) = await RefusalAsync(request);
        Assert.Equal(expected, status);
        Assert.Contains(why, message, StringComparison.Ordinal);
    }

    private static async Task<(int Status, string Message)> RefusalAsync(Func<Task> request)
    {
        ClientResultException refusal = await Assert.ThrowsAsync<ClientResultException>(request);
        return (refusal.Status, refusal.Message);
    }

    private OpenAIClient Client(string key = Key, int retries = 0) => new(new ApiKeyCredential(key), new OpenAIClientOptions
    {
        Endpoint = new Uri(_server.Client.BaseAddress!, "/v1"),
        RetryPolicy = new ClientRetryPolicy(retries),
    });

    private ChatClient Chat(string? model = null, string key = Key) => Client(key).GetChatClient(model ?? ModelName);

    private async Task<List<StreamingChatCompletionUpdate>> StreamAsync(Wire.ChatMessage[] messages, ChatCompletionOptions options)
    {
        List<StreamingChatCompletionUpdate> updates = [];
        await foreach (StreamingChatCompletionUpdate update in Chat().CompleteChatStreamingAsync(messages, options, Token))
        {
            updates.Add(update);
        }

        return updates;
    }

    private async Task<JsonElement> SendAsync(string path, string json)
    {
        ClientPipeline pipeline = Client().Pipeline;
        using PipelineMessage message = pipeline.CreateMessage();
        message.Request.Method = "POST";
        message.Request.Uri = new Uri(_server.Client.BaseAddress!, $"/v1/{path}");
        message.Request.Headers.Set("Content-Type", "application/json");
        message.Request.Content = BinaryContent.Create(BinaryData.FromString(json));
        await pipeline.SendAsync(message);
        PipelineResponse response = message.Response!;
        return response.IsError
            ? throw new ClientResultException(response.Content.ToString(), response)
            : JsonElement.Parse(response.Content.ToString());
    }
}
