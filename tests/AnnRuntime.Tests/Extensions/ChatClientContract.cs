using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;
using Xunit;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Tests.Extensions;

/// <summary>
/// What Microsoft.Extensions.AI's own integration tests ask of a chat client, run for each of ours. The model says nothing
/// of sense, so what is asked of an answer is its form: a grammar enforces schemas and required calls.
/// </summary>
public abstract class ChatClientContract
{
    private enum Harbour
    {
        Bergen,
        Oslo,
    }

    /// <summary>A client of an engine with at least four sequences of 4096 cells, whose template knows tools.</summary>
    protected abstract Task<IChatClient> CreateAsync();

    /// <summary>Options with which the engine follows a grammar of GBNF.</summary>
    protected abstract void Follow(Meai.ChatOptions options, string grammar);

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    private static Meai.ChatOptions Greedy(int tokens = 12) => new() { Temperature = 0, MaxOutputTokens = tokens };

    [Fact]
    public async Task A_single_message_is_answered()
    {
        using IChatClient client = await CreateAsync();
        ChatResponse response = await client.GetResponseAsync("What does a compiler do?", Greedy(), Token);
        Meai.ChatMessage message = Assert.Single(response.Messages);
        Assert.Equal(ChatRole.Assistant, message.Role);
        Assert.NotEmpty(message.Text);
        Assert.NotNull(response.ResponseId);
        Assert.NotNull(response.ModelId);
        Assert.Null(response.ConversationId);
        Assert.InRange(response.CreatedAt!.Value, DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
    }

    [Fact]
    public async Task Many_messages_are_all_read()
    {
        using IChatClient client = await CreateAsync();
        Meai.ChatMessage[] conversation =
        [
            new(ChatRole.System, "Be brief."),
            new(ChatRole.User, "Name a harbour."),
            new(ChatRole.Assistant, "Bergen."),
            new(ChatRole.User, "Another one."),
        ];
        long? all = (await client.GetResponseAsync(conversation, Greedy(), Token)).Usage!.InputTokenCount;
        long? some = (await client.GetResponseAsync(conversation[1..], Greedy(), Token)).Usage!.InputTokenCount;
        Assert.True(all > some && some > 10, $"{all} and {some} tokens were read");

        Meai.ChatOptions instructed = Greedy();
        instructed.Instructions = "Be brief.";
        Assert.Equal(all, (await client.GetResponseAsync(conversation[1..], instructed, Token)).Usage!.InputTokenCount);
    }

    [Fact]
    public async Task Empty_messages_are_read_too()
    {
        using IChatClient client = await CreateAsync();
        ChatResponse response = await client.GetResponseAsync(
        [
            new Meai.ChatMessage(ChatRole.System, []),
            new Meai.ChatMessage(ChatRole.User, [new TextContent("")]),
            new Meai.ChatMessage(ChatRole.User, "What is a cache?"),
        ], Greedy(), Token);
        Assert.Equal(12, response.Usage!.OutputTokenCount);
    }

    [Fact]
    public async Task A_stream_says_what_the_whole_answer_says()
    {
        using IChatClient client = await CreateAsync();
        ChatResponse whole = await client.GetResponseAsync("What is a cache?", Greedy(), Token);
        List<ChatResponseUpdate> updates =
            await client.GetStreamingResponseAsync("What is a cache?", Greedy(), Token).ToListAsync(Token);
        Assert.True(updates.Count(update => update.Text.Length > 0) > 3, "the answer came in one piece");
        Assert.Single(updates.Select(update => (update.ResponseId, update.MessageId)).Distinct());
        Assert.Single(updates.SelectMany(update => update.Contents).OfType<UsageContent>());
        Assert.Null(updates[0].FinishReason);
        Assert.Equal(ChatFinishReason.Length, updates[^1].FinishReason);

        ChatResponse streamed = updates.ToChatResponse();
        Assert.Equal(whole.Text, streamed.Text);
        Assert.Equal(whole.Usage!.TotalTokenCount, streamed.Usage!.TotalTokenCount);
        Assert.Equal(12, streamed.Usage.OutputTokenCount);
    }

    [Fact]
    public async Task A_conversation_grows_by_its_answers_and_is_not_computed_again()
    {
        using IChatClient client = await CreateAsync();
        List<Meai.ChatMessage> history = [new(ChatRole.User, "Name three harbours in the north, and say what lies beside them.")];
        ChatResponse first = await client.GetResponseAsync(history, Greedy(), Token);
        Assert.Equal(0, first.Usage!.CachedInputTokenCount ?? 0);
        history.AddMessages(first);
        history.Add(new(ChatRole.User, "And in the south?"));
        ChatResponse second = await client.GetResponseAsync(history, Greedy(), Token);

        Assert.Equal(3, history.Count);
        long? known = first.Usage.InputTokenCount;
        Assert.InRange(second.Usage!.CachedInputTokenCount!.Value, known!.Value - 1, second.Usage.InputTokenCount!.Value - 1);
    }

    [Fact]
    public async Task A_finish_reason_says_how_it_ended()
    {
        using IChatClient client = await CreateAsync();
        ChatResponse cut = await client.GetResponseAsync("What is a cache?", Greedy(), Token);
        Assert.Equal(ChatFinishReason.Length, cut.FinishReason);
        Meai.ChatOptions options = Greedy();
        options.StopSequences = [cut.Text[3..7]];
        ChatResponse stopped = await client.GetResponseAsync("What is a cache?", options, Token);
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);
        Assert.Equal(cut.Text[..cut.Text.IndexOf(cut.Text[3..7], StringComparison.Ordinal)], stopped.Text);
    }

    [Fact]
    public async Task A_required_function_is_invoked_and_its_result_is_told()
    {
        List<string> calls = [];
        using IChatClient client = Invoking(await CreateAsync());
        AITool[] tools =
        [
            AIFunctionFactory.Create([Description("The time")] () => Note(calls, "time"), "time"),
            AIFunctionFactory.Create((long days, bool snow) => Note(calls, $"forecast {days} {snow}"), "forecast"),
        ];
        foreach ((ChatToolMode mode, string expected) in new (ChatToolMode, string)[]
        {
            (ChatToolMode.RequireSpecific("time"), "time"),
            (ChatToolMode.RequireSpecific("forecast"), "forecast "),
            (ChatToolMode.RequireAny, ""),
        })
        {
            calls.Clear();
            Meai.ChatOptions options = Greedy(tokens: 80);
            options.Tools = tools;
            options.ToolMode = mode;
            ChatResponse response = await client.GetResponseAsync("What now?", options, Token);
            Assert.StartsWith(expected, Assert.Single(calls), StringComparison.Ordinal);
            FunctionCallContent call = Assert.Single(Contents<FunctionCallContent>(response));
            FunctionResultContent result = Assert.Single(Contents<FunctionResultContent>(response));
            Assert.Equal(call.CallId, result.CallId);
            Assert.Equal("told", result.Result?.ToString());
            Assert.Equal(3, response.Messages.Count);
            Assert.Equal(ChatRole.Assistant, response.Messages[^1].Role);
            Assert.True(response.Usage!.OutputTokenCount > 0);
        }
    }

    [Fact]
    public async Task Arguments_may_be_optional_nested_and_lists()
    {
        using IChatClient client = await CreateAsync();
        AIFunction sail = AIFunctionFactory.Create(
            (Voyage voyage, [Description("Knots")] int speed = 7) => $"{voyage.From} {voyage.Legs.Count} {speed}", "sail");
        Meai.ChatOptions options = Greedy(tokens: 200);
        options.Tools = [sail];
        options.ToolMode = ChatToolMode.RequireAny;
        Follow(options, """
            root ::= "<tool_call>\n{\"name\": \"sail\", \"arguments\": {\"voyage\": {\"from\": \"Oslo\", \"legs\": [\"Bergen\", \"Oslo\"]}}}\n</tool_call>"
            """);
        FunctionCallContent call = Assert.Single(Contents<FunctionCallContent>(await client.GetResponseAsync("Sail!", options, Token)));
        Assert.Equal("Oslo 2 7", (await sail.InvokeAsync(new AIFunctionArguments(call.Arguments), Token))?.ToString());
    }

    /// <summary>What a model that chooses by itself would say is dictated here by a grammar of the test.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Calls_that_the_model_chose_come_whole_also_several(bool stream)
    {
        using IChatClient client = await CreateAsync();
        Meai.ChatOptions options = Greedy(tokens: 200);
        options.Tools = [AIFunctionFactory.Create((int days) => days, "forecast"), AIFunctionFactory.Create(() => 1, "time")];
        options.AllowMultipleToolCalls = true;
        Follow(options, """
            root ::= "<tool_call>\n{\"name\": \"forecast\", \"arguments\": {\"days\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"
            """);
        ChatResponse response = stream
            ? await client.GetStreamingResponseAsync("What now?", options, Token).ToChatResponseAsync(Token)
            : await client.GetResponseAsync("What now?", options, Token);
        FunctionCallContent[] calls = [.. Contents<FunctionCallContent>(response)];
        Assert.Equal(["forecast", "time"], calls.Select(call => call.Name));
        Assert.Equal("3", calls[0].Arguments!["days"]?.ToString());
        Assert.Empty(calls[1].Arguments ?? new Dictionary<string, object?>());
        Assert.NotEqual(calls[0].CallId, calls[1].CallId);
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        Assert.Equal("", response.Text.Trim());
    }

    [Fact]
    public async Task No_tool_mode_hides_the_tools()
    {
        using IChatClient client = await CreateAsync();
        Meai.ChatOptions options = Greedy();
        long? without = (await client.GetResponseAsync("What now?", options, Token)).Usage!.InputTokenCount;
        options.Tools = [AIFunctionFactory.Create(() => 1, "time")];
        options.ToolMode = ChatToolMode.None;
        ChatResponse response = await client.GetResponseAsync("What now?", options, Token);
        Assert.Empty(Contents<FunctionCallContent>(response));
        Assert.True(response.Usage!.OutputTokenCount == 12 && without > 0);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_tools_schema_is_accepted_strict_or_not(bool? strict)
    {
        using IChatClient client = await CreateAsync();
        Meai.ChatOptions options = Greedy(tokens: 80);
        options.ToolMode = ChatToolMode.RequireAny;
        options.Tools =
        [
            AIFunctionFactory.Create(
                (long days, Harbour? harbour = null) => days,
                new AIFunctionFactoryOptions
                {
                    Name = "forecast",
                    AdditionalProperties = strict is null ? null : new Dictionary<string, object?> { ["strict"] = strict },
                }),
        ];
        FunctionCallContent call = Assert.Single(Contents<FunctionCallContent>(
            await client.GetResponseAsync("Will it rain?", options, Token)));
        Assert.Equal("forecast", call.Name);
        Assert.Null(call.Exception);
        Assert.True(int.TryParse(call.Arguments!["days"]?.ToString(), out _) || call.Arguments["days"] is JsonElement);
    }

    [Fact]
    public async Task A_structured_answer_is_one_of_its_type()
    {
        using IChatClient client = await CreateAsync();
        Meai.ChatOptions options = Greedy(tokens: 200);
        Weather weather = (await client.GetResponseAsync<Weather>("The weather, please.", options, cancellationToken: Token)).Result;
        Assert.True(Enum.IsDefined(weather.Harbour));
        Assert.NotNull(weather.Wind);
        Assert.True((await client.GetResponseAsync<long>("How many?", options, cancellationToken: Token)).TryGetResult(out _));
        Assert.True((await client.GetResponseAsync<bool>("Is it?", options, cancellationToken: Token)).TryGetResult(out _));
        Assert.True(Enum.IsDefined((await client.GetResponseAsync<Harbour>("Where?", options, cancellationToken: Token)).Result));
        Assert.Null(options.ResponseFormat);
    }

    [Fact]
    public async Task A_structured_answer_may_have_tools_beside_it()
    {
        List<string> calls = [];
        using IChatClient client = Invoking(await CreateAsync());
        Meai.ChatOptions options = Greedy(tokens: 200);
        options.Tools = [AIFunctionFactory.Create(() => Note(calls, "time"), "time")];
        options.ToolMode = ChatToolMode.None;
        ChatResponse<bool> answer = await client.GetResponseAsync<bool>("Is it late?", options, cancellationToken: Token);
        Assert.Empty(calls);
        Assert.True(answer.TryGetResult(out _), answer.Text);
    }

    [Fact]
    public async Task Many_threads_get_the_answers_of_one()
    {
        using IChatClient client = await CreateAsync();
        string[] questions = [.. Enumerable.Range(0, 4).Select(index => $"What is the use of harbour number {index}?")];
        List<string> serial = [];
        foreach (string question in questions)
        {
            serial.Add((await client.GetResponseAsync(question, Greedy(), Token)).Text);
        }

        string[] parallel = await Task.WhenAll(Enumerable.Range(0, 12).Select(index => Task.Run(
            async () => (await client.GetResponseAsync(questions[index % 4], Greedy(), Token)).Text, Token)));
        Assert.All(parallel.Index(), pair => Assert.Equal(serial[pair.Index % 4], pair.Item));
    }

    [Fact]
    public async Task A_cancelled_answer_ends_at_once()
    {
        using IChatClient client = await CreateAsync();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        int updates = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Count.", Greedy(tokens: 2000), cancel.Token))
            {
                if (++updates == 3)
                {
                    await cancel.CancelAsync();
                }
            }
        });
        Assert.InRange(updates, 3, 1000);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => client.GetResponseAsync("Hello", Greedy(), cancel.Token));
        Assert.Equal(12, (await client.GetResponseAsync("Count.", Greedy(), Token)).Usage!.OutputTokenCount);
    }

    [Fact]
    public async Task Options_and_messages_are_left_as_they_were()
    {
        using IChatClient client = await CreateAsync();
        List<Meai.ChatMessage> messages = [new(ChatRole.User, "Hello")];
        Meai.ChatOptions options = Greedy();
        options.Instructions = "Be brief.";
        options.StopSequences = ["."];
        options.Seed = 3;
        options.Tools = [AIFunctionFactory.Create(() => 1, "time")];
        string before = JsonSerializer.Serialize((messages, options.Instructions, options.StopSequences, options.Seed, options.Tools.Count));
        await client.GetResponseAsync(messages, options, Token);
        Assert.Equal(before, JsonSerializer.Serialize((messages, options.Instructions, options.StopSequences, options.Seed, options.Tools.Count)));
        Assert.Equal((12, 0f), (options.MaxOutputTokens, options.Temperature));
        Assert.Single(messages);
    }

    [Fact]
    public async Task Middleware_caches_reduces_and_traces()
    {
        List<Activity> traces = [];
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "ann-contract",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = traces.Add,
        };
        ActivitySource.AddActivityListener(listener);
        var store = new MemoryDistributedCache(Options.Create(new MemoryDistributedCacheOptions()));
        using IChatClient client = (await CreateAsync()).AsBuilder()
            .UseDistributedCache(store)
            .UseChatReducer(new MessageCountingChatReducer(1))
            .UseOpenTelemetry(sourceName: "ann-contract")
            .Build();
        Meai.ChatMessage[] conversation =
            [new(ChatRole.User, "One."), new(ChatRole.Assistant, "Two."), new(ChatRole.User, "Name a harbour.")];
        ChatResponse first = await client.GetResponseAsync(conversation, Greedy(), Token);
        ChatResponse cached = await client.GetResponseAsync(conversation, Greedy(), Token);
        Assert.Equal((first.Text, first.ResponseId), (cached.Text, cached.ResponseId));

        Activity trace = Assert.Single(traces); // the second answer came from the cache
        Assert.Equal("chat", trace.GetTagItem("gen_ai.operation.name"));
        Assert.Equal(first.ModelId, trace.GetTagItem("gen_ai.response.model"));
        Assert.Equal(first.Usage!.InputTokenCount, Convert.ToInt64(trace.GetTagItem("gen_ai.usage.input_tokens"), null));
        Assert.Equal(12L, Convert.ToInt64(trace.GetTagItem("gen_ai.usage.output_tokens"), null));

        using IChatClient bare = await CreateAsync();
        Assert.Equal(
            first.Usage.InputTokenCount,
            (await bare.GetResponseAsync("Name a harbour.", Greedy(), Token)).Usage!.InputTokenCount);
    }

    private static IChatClient Invoking(IChatClient client) => client.AsBuilder().UseFunctionInvocation().Build();

    private static string Note(List<string> calls, string call)
    {
        calls.Add(call);
        return "told";
    }

    private static IEnumerable<T> Contents<T>(ChatResponse response) => response.Messages.SelectMany(message => message.Contents).OfType<T>();

    private sealed record Weather(bool Wet, Harbour Harbour, Wind Wind);

    private sealed record Wind(bool Strong);

    private sealed record Voyage(Harbour From, IReadOnlyList<Harbour> Legs);
}
