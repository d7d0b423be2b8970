using System.ComponentModel;
using System.Text.Json;
using AnnRuntime.Extensions.AI;
using Microsoft.Extensions.AI;
using Xunit;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Tests.Extensions;

/// <summary>The chat client's contract: streaming, usage, finish reasons, schemas, tools, concurrency.</summary>
public sealed class AnnChatClientTests(ModelFixture fixture) : IAsyncDisposable
{
    private readonly GenerationEngine _engine = new(fixture.Model, new EngineOptions
    {
        // answers of several callers are compared: see GenerationEngineTests.Search
        Context = new ContextOptions { ContextLength = 2048, MaxSequences = 4, UbatchSize = 128, Search = new() { MinContext = 0 } },
    });

    private static Meai.ChatOptions Greedy => new() { Temperature = 0, MaxOutputTokens = 10 };

    [Fact]
    public async Task A_response_has_text_usage_and_a_finish_reason()
    {
        using IChatClient client = _engine.AsChatClient();
        ChatResponse response = await client.GetResponseAsync("What does a compiler do?", Greedy);

        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.NotEmpty(response.Text);
        Assert.Equal("ann-rotated-d64-q8_0", response.ModelId);
        UsageDetails usage = response.Usage!;
        Assert.Equal(10, usage.OutputTokenCount);
        Assert.Equal(0, usage.CachedInputTokenCount);
        Assert.Equal(usage.InputTokenCount + 10, usage.TotalTokenCount);

        ChatResponse again = await client.GetResponseAsync("What does a compiler do?", Greedy);
        Assert.Equal((response.Text, usage.InputTokenCount - 1), (again.Text, again.Usage!.CachedInputTokenCount));
    }

    [Fact]
    public async Task A_stream_has_one_response_and_ends_with_usage()
    {
        using IChatClient client = _engine.AsChatClient();
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync("What does a compiler do?", Greedy))
        {
            updates.Add(update);
        }

        Assert.Single(updates.Select(update => (update.ResponseId, update.MessageId, update.Role)).Distinct());
        Assert.All(updates[..^1], update => Assert.Null(update.FinishReason));
        Assert.Equal(ChatFinishReason.Length, updates[^1].FinishReason);
        Assert.Single(updates[^1].Contents.OfType<UsageContent>());
        Assert.Equal((await client.GetResponseAsync("What does a compiler do?", Greedy)).Text, updates.ToChatResponse().Text);
    }

    [Fact]
    public async Task Many_callers_at_once_get_the_answer_of_one()
    {
        using IChatClient client = _engine.AsChatClient();
        string expected = (await client.GetResponseAsync("What is a cache?", Greedy)).Text;
        ChatResponse[] responses = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => client.GetResponseAsync("What is a cache?", Greedy)));
        Assert.All(responses, response => Assert.Equal(expected, response.Text));
    }

    [Fact]
    public async Task A_schema_is_followed()
    {
        using IChatClient client = _engine.AsChatClient();
        Meai.ChatOptions options = new()
        {
            Temperature = 0,
            MaxOutputTokens = 60,
            ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonElement.Parse(
                """{"type":"object","properties":{"wet":{"type":"boolean"}},"required":["wet"],"additionalProperties":false}""")),
        };
        ChatResponse response = await client.GetResponseAsync("Is water wet?", options);
        Assert.Contains(
            JsonElement.Parse(response.Text).GetProperty("wet").ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
    }

    [Fact]
    public async Task A_required_tool_that_the_template_cannot_call_is_refused()
    {
        using IChatClient client = _engine.AsChatClient();
        Meai.ChatOptions options = new()
        {
            Tools = [AIFunctionFactory.Create([Description("Whether it rains")] (bool tomorrow) => tomorrow, "rain")],
            ToolMode = ChatToolMode.RequireSpecific("rain"),
        };
        UnsupportedModelException exception =
            await Assert.ThrowsAsync<UnsupportedModelException>(() => client.GetResponseAsync("Will it rain?", options));
        Assert.Contains("template", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Options_are_left_as_they_were_and_a_request_may_be_the_base()
    {
        using IChatClient client = _engine.AsChatClient();
        Meai.ChatOptions options = new()
        {
            Instructions = "Answer in one word.",
            StopSequences = ["."],
            RawRepresentationFactory = _ => new GenerationRequest
            {
                Prompt = [0],
                Mode = SearchMode.Dense,
                Options = new GenerationOptions { MaxTokens = 3, Sampling = SamplingOptions.Greedy, IgnoreEndOfGeneration = true },
            },
        };
        ChatResponse response = await client.GetResponseAsync("Hello", options);
        Assert.Equal(3, response.Usage!.OutputTokenCount);
        Assert.Null(options.MaxOutputTokens);
        Assert.Equal(["."], options.StopSequences);
        Assert.True(SpinWait.SpinUntil(
            () => _engine.Slots.Any(slot => slot.Mode == SearchMode.Dense && slot.CachedTokens > 0), TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task Services_and_refusals()
    {
        using IChatClient client = _engine.AsChatClient();
        Assert.Equal("ann_runtime", client.GetService<ChatClientMetadata>()!.ProviderName);
        Assert.Same(_engine, client.GetService<GenerationEngine>());
        Assert.Same(client, client.GetService<IChatClient>());
        Assert.Null(client.GetService(typeof(IChatClient), "key"));
        Assert.Throws<ArgumentNullException>(() => client.GetService(null!));
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync((IEnumerable<Meai.ChatMessage>)[]));
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync(
            new Meai.ChatMessage(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")])));
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetResponseAsync("Hello", Greedy, cancelled.Token));
    }

    public ValueTask DisposeAsync() => _engine.DisposeAsync();
}
