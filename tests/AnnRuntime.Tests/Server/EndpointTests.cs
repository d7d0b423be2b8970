using System.Net;
using System.Text.Json;
using AnnRuntime.Server;
using Xunit;

namespace AnnRuntime.Tests.Server;

public sealed class EndpointTests(ModelFixture fixture)
{
    private const string Text = """{"prompt":"A compiler reads the text of a program","max_tokens":8,"temperature":0}""";

    [Fact]
    public async Task A_client_beyond_its_rate_gets_429_and_others_do_not()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, new ServerOptions { RequestsPerMinute = 2, ApiKeys = ["one", "two"] });
        const string Body = """{"prompt":"A","max_tokens":1}""";
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync("/v1/completions", Body, "one")).Status);
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync("/v1/completions", Body, "one")).Status);
        (HttpStatusCode status, JsonElement answer) = await server.PostAsync("/v1/completions", Body, "one");
        Assert.Equal(HttpStatusCode.TooManyRequests, status);
        Assert.Contains("2 requests a minute", answer.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync("/v1/completions", Body, "two")).Status);
    }

    [Fact]
    public async Task Without_keys_a_client_is_its_address_whatever_it_sends()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, new ServerOptions { RequestsPerMinute = 1 });
        const string Body = """{"prompt":"A","max_tokens":1}""";
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync("/v1/completions", Body, "one")).Status);
        using HttpResponseMessage refused = await server.SendAsync("/v1/completions", Body, "two");
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
    }

    [Fact]
    public async Task A_completion_is_the_one_of_a_session_with_usage_and_timings()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        using AnnContext context = fixture.CreateContext(1024);
        await using var session = new AnnSession(context);
        GenerationResult expected = await session.CompleteAsync(
            "A compiler reads the text of a program", new GenerationOptions { MaxTokens = 8, Sampling = SamplingOptions.Greedy });

        (HttpStatusCode status, JsonElement body) = await server.PostAsync("/v1/completions", Text);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("text_completion", body.GetProperty("object").GetString());
        JsonElement choice = body.GetProperty("choices")[0];
        Assert.Equal(expected.Text, choice.GetProperty("text").GetString());
        Assert.Equal(expected.FinishReason == FinishReason.MaxTokens ? "length" : "stop", choice.GetProperty("finish_reason").GetString());
        JsonElement usage = body.GetProperty("usage");
        Assert.Equal(expected.Timings.PromptTokens, usage.GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(expected.Tokens.Count, usage.GetProperty("completion_tokens").GetInt32());
        Assert.Equal(0, usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        Assert.True(body.GetProperty("timings").GetProperty("prompt_per_second").GetDouble() > 0);
        Assert.Equal("exact", body.GetProperty("ann").GetProperty("mode").GetString());

        (_, JsonElement again) = await server.PostAsync("/v1/completions", Text);
        Assert.Equal(
            expected.Timings.PromptTokens - 1,
            again.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
    }

    [Fact]
    public async Task A_stream_has_the_text_of_the_whole_answer()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        const string Body = """
            {"messages":[{"role":"user","content":[{"type":"text","text":"What does a compiler do?"}]}],
             "max_completion_tokens":12,"temperature":0,"stream":STREAM,"stream_options":{"include_usage":true}}
            """;
        (_, JsonElement whole) = await server.PostAsync("/v1/chat/completions", Body.Replace("STREAM", "false"));
        JsonElement message = whole.GetProperty("choices")[0].GetProperty("message");
        Assert.Equal("assistant", message.GetProperty("role").GetString());

        string[] events = await server.StreamAsync("/v1/chat/completions", Body.Replace("STREAM", "true"));

        Assert.Equal("[DONE]", events[^1]);
        JsonElement[] chunks = [.. events[..^1].Select(text => JsonElement.Parse(text))];
        Assert.Single(chunks.Select(chunk => chunk.GetProperty("id").GetString()).Distinct());
        JsonElement[] choices = [.. chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray())];
        string text = string.Concat(choices.Select(choice =>
            choice.GetProperty("delta").TryGetProperty("content", out JsonElement content) ? content.GetString() : ""));
        Assert.Equal(message.GetProperty("content").GetString(), text);
        Assert.Equal("assistant", choices[0].GetProperty("delta").GetProperty("role").GetString());
        Assert.Equal(
            whole.GetProperty("choices")[0].GetProperty("finish_reason").GetString(),
            choices[^1].GetProperty("finish_reason").GetString());
        Assert.Equal(
            whole.GetProperty("usage").GetProperty("total_tokens").GetInt32(),
            chunks[^1].GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Fact]
    public async Task A_schema_is_followed()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("/v1/chat/completions", """
            {"messages":[{"role":"user","content":"Is water wet?"}],"temperature":0,"max_tokens":40,
             "response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":
             {"type":"object","properties":{"wet":{"type":"boolean"}},"required":["wet"],"additionalProperties":false}}}}
            """);
        Assert.Equal(HttpStatusCode.OK, status);
        string content = body.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
        Assert.Contains(JsonElement.Parse(content).GetProperty("wet").ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
    }

    [Fact]
    public async Task An_observed_stream_shows_what_each_layer_retrieved()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        string prompt = fixture.Model.Tokenizer.Detokenize(fixture.Prose(300));
        string[] events = await server.StreamAsync("/v1/completions", JsonSerializer.Serialize(new
        {
            prompt,
            max_tokens = 4,
            temperature = 0,
            stream = true,
            ann = new { mode = "exact", top_k = 40, observe = true },
        }));
        JsonElement[] blocks = [.. events[..^1].Select(text => JsonElement.Parse(text))
            .Where(chunk => chunk.TryGetProperty("ann", out _)).Select(chunk => chunk.GetProperty("ann"))];
        Assert.Equal(
            fixture.Model.Tokenizer.Tokenize(prompt).Length, blocks[0].GetProperty("prompt").GetArrayLength());
        JsonElement layers = blocks[^1].GetProperty("retrieval").GetProperty("layers");
        Assert.Equal(fixture.Model.SearchedLayers.Count, layers.GetArrayLength());
        Assert.All(layers.EnumerateArray(), layer => Assert.Equal(40, layer.GetProperty("positions").GetArrayLength()));
        Assert.Equal(40, blocks[^1].GetProperty("top_k").GetInt32());
    }

    [Theory]
    [InlineData("/v1/completions", "{", 400, "invalid_request_error", "no valid JSON")]
    [InlineData("/v1/completions", "null", 400, "invalid_request_error", "null")]
    [InlineData("/v1/completions", "{}", 400, "invalid_request_error", "prompt must be")]
    [InlineData("/v1/completions", """{"prompt":"x","temperature":-1}""", 400, "invalid_request_error", "Temperature is -1")]
    [InlineData("/v1/completions", """{"prompt":"x","max_tokens":0}""", 400, "invalid_request_error", "MaxTokens is 0")]
    [InlineData("/v1/completions", """{"prompt":"x","n":2}""", 400, "invalid_request_error", "n is 2")]
    [InlineData("/v1/completions", """{"prompt":"x","grammar":"root ::= ("}""", 400, "invalid_request_error", "grammar")]
    [InlineData("/v1/completions", """{"prompt":[-5,7]}""", 400, "invalid_request_error", "token -5")]
    [InlineData("/v1/completions", """{"prompt":"x","ann":{"mode":"fast"}}""", 400, "invalid_request_error", "ann.mode is 'fast'")]
    [InlineData("/v1/completions", """{"prompt":"x","ann":{"mode":"off"}}""", 400, "invalid_request_error", "cannot become off")]
    [InlineData("/v1/completions", """{"prompt":"x","logit_bias":{"y":1}}""", 400, "invalid_request_error", "logit_bias")]
    [InlineData("/v1/chat/completions", """{"messages":[]}""", 400, "invalid_request_error", "messages")]
    [InlineData("/v1/chat/completions", """{"messages":[{"content":"x"}]}""", 400, "invalid_request_error", "role")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}""", 400, "invalid_request_error", "text only")]
    [InlineData("/v1/nothing", "{}", 404, "invalid_request_error", "There is no POST /v1/nothing")]
    public async Task A_bad_request_is_told_in_the_shape_of_openai(string path, string json, int status, string type, string message)
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        (HttpStatusCode code, JsonElement body) = await server.PostAsync(path, json);
        JsonElement error = body.GetProperty("error");
        Assert.Equal((status, type), ((int)code, error.GetProperty("type").GetString()));
        Assert.Contains(message, error.GetProperty("message").GetString());
    }

    [Fact]
    public async Task Limits_keys_and_a_full_queue_have_their_own_status()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(
            fixture,
            new ServerOptions { ApiKeys = ["secret"], MaxBodyBytes = 20_000 },
            new EngineOptions
            {
                Context = new ContextOptions { ContextLength = 1024, UbatchSize = 128, MaxSequences = 1 },
                QueueLimit = 0,
            });
        Assert.Equal(HttpStatusCode.Unauthorized, (await server.PostAsync("/v1/completions", Text)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await server.PostAsync("/v1/completions", Text, "secre")).Status);
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync("/v1/completions", Text, "secret")).Status);
        (HttpStatusCode status, JsonElement body) = await server.PostAsync(
            "/v1/completions", $$"""{"prompt":[{{string.Join(',', Enumerable.Repeat(5, 1100))}}]}""", "secret");
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("context_length_exceeded", body.GetProperty("error").GetProperty("code").GetString());
        (status, _) = await server.PostAsync("/v1/completions", $$"""{"prompt":"{{new string('x', 30_000)}}"}""", "secret");
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, status);

        using var leave = new CancellationTokenSource();
        using (HttpResponseMessage endless = await server.SendAsync(
            "/v1/completions", """{"prompt":[5,6,7],"max_tokens":1000,"stream":true,"ann":{"observe":true}}""", "secret", leave.Token))
        {
            (status, body) = await server.PostAsync("/v1/completions", Text, "secret");
            Assert.Equal(HttpStatusCode.TooManyRequests, status);
            Assert.Equal("engine_busy", body.GetProperty("error").GetProperty("code").GetString());
            await leave.CancelAsync();
        }

        // the client has gone: its sequence is free again
        for (int attempt = 0; status == HttpStatusCode.TooManyRequests && attempt < 200; attempt++)
        {
            await Task.Delay(20);
            (status, _) = await server.PostAsync("/v1/completions", Text, "secret");
        }

        Assert.Equal(HttpStatusCode.OK, status);
    }

    [Fact]
    public async Task A_server_that_shuts_down_says_so()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        await server.Engine.DrainAsync();
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("/v1/completions", Text);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Equal("shutting_down", body.GetProperty("error").GetProperty("code").GetString());
        using HttpResponseMessage health = await server.Client.GetAsync("/health");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
    }

    [Fact]
    public async Task The_small_endpoints_answer()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        Assert.Equal("""{"status":"ok"}""", await server.Client.GetStringAsync("/health"));
        Assert.Contains("AnnRuntime", await server.Client.GetStringAsync("/"));
        JsonElement models = JsonElement.Parse(await server.Client.GetStringAsync("/v1/models"));
        Assert.Equal("ann-rotated-d64-q8_0", models.GetProperty("data")[0].GetProperty("id").GetString());

        (_, JsonElement tokens) = await server.PostAsync("/tokenize", """{"content":"a compiler"}""");
        (_, JsonElement text) = await server.PostAsync("/detokenize", tokens.GetRawText());
        Assert.Equal("a compiler", text.GetProperty("content").GetString());

        await server.PostAsync("/v1/completions", Text);
        string metrics = await server.Client.GetStringAsync("/metrics");
        Assert.Contains("llamacpp:tokens_predicted_total 8", metrics);
        Assert.Contains("ann_runtime_requests_total 1", metrics);
        JsonElement slots = JsonElement.Parse(await server.Client.GetStringAsync("/slots"));
        Assert.Equal(4, slots.GetArrayLength());
    }
}
