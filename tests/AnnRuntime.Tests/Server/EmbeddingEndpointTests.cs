using System.ClientModel;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.Json;
using OpenAI;
using OpenAI.Embeddings;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>/v1/embeddings in OpenAI's shape.</summary>
public sealed class EmbeddingEndpointTests(ModelFixture fixture) : IAsyncDisposable
{
    private const string Path = "/v1/embeddings";

    private readonly EmbeddingEngine _engine = new(fixture.Model, new EmbeddingOptions
    {
        Context = new ContextOptions { ContextLength = 512, BatchSize = 128, MaxSequences = 4 },
    });

    [Fact]
    public async Task Texts_tokens_and_arrays_of_them_are_embedded()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, embeddings: _engine);
        int[] first = fixture.Model.Tokenizer.Tokenize("A compiler");
        int[] second = fixture.Model.Tokenizer.Tokenize("Memory is slow.");
        float[] expected = await _engine.EmbedAsync(first);

        (HttpStatusCode status, JsonElement body) = await server.PostAsync(Path, """{"model":"ann-rotated-d64-q8_0","input":["A compiler","Memory is slow."]}""");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(("list", "ann-rotated-d64-q8_0"), (body.GetProperty("object").GetString(), body.GetProperty("model").GetString()));
        Assert.Equal(first.Length + second.Length, body.GetProperty("usage").GetProperty("total_tokens").GetInt32());
        JsonElement[] data = [.. body.GetProperty("data").EnumerateArray()];
        Assert.Equal([("embedding", 0), ("embedding", 1)],
            data.Select(entry => (entry.GetProperty("object").GetString(), entry.GetProperty("index").GetInt32())));
        Near(expected, Floats(data[0]));

        foreach (string input in (string[])["\"A compiler\"", $"[{string.Join(',', first)}]", $"[[{string.Join(',', first)}]]"])
        {
            (_, JsonElement one) = await server.PostAsync(Path, $$"""{"input":{{input}}}""");
            Near(expected, Floats(Assert.Single(one.GetProperty("data").EnumerateArray())));
        }
    }

    [Fact]
    public async Task Base64_has_the_numbers_and_dimensions_the_first_of_them()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, embeddings: _engine);
        (_, JsonElement numbers) = await server.PostAsync(Path, """{"input":"A compiler","dimensions":32,"encoding_format":"float"}""");
        (_, JsonElement text) = await server.PostAsync(Path, """{"input":"A compiler","dimensions":32,"encoding_format":"base64"}""");
        byte[] bytes = text.GetProperty("data")[0].GetProperty("embedding").GetBytesFromBase64();
        float[] values = Floats(numbers.GetProperty("data")[0]);
        Assert.Equal(32, values.Length);
        Assert.Equal(values, MemoryMarshal.Cast<byte, float>(bytes).ToArray());
    }

    [Fact]
    public async Task The_official_client_reads_them()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, embeddings: _engine);
        EmbeddingClient client = new OpenAIClient(
            new ApiKeyCredential("none"), new() { Endpoint = new Uri(server.Client.BaseAddress!, "/v1") })
            .GetEmbeddingClient("ann-rotated-d64-q8_0");
        int[] tokens = fixture.Model.Tokenizer.Tokenize("A compiler");

        OpenAIEmbeddingCollection both = await client.GenerateEmbeddingsAsync(["A compiler", "Memory is slow."]);
        Assert.Equal([0, 1], both.Select(one => one.Index));
        Near(await _engine.EmbedAsync(tokens), both[0].ToFloats().ToArray());
        Assert.Equal(tokens.Length + fixture.Model.Tokenizer.Tokenize("Memory is slow.").Length, both.Usage.TotalTokenCount);

        OpenAIEmbedding few = await client.GenerateEmbeddingAsync("A compiler", new EmbeddingGenerationOptions { Dimensions = 16 });
        Assert.Equal(16, few.ToFloats().Length);
        ClientResultException refused = await Assert.ThrowsAsync<ClientResultException>(() => 
            client.GenerateEmbeddingAsync("A compiler", new EmbeddingGenerationOptions { Dimensions = 100_000 }));
        Assert.Equal(400, refused.Status);
    }

    [Theory]
    [InlineData("{}", "input must be")]
    [InlineData("""{"input":""}""", "input[0] is empty")]
    [InlineData("""{"input":[]}""", "empty array")]
    [InlineData("""{"input":["a",""]}""", "input[1] is empty")]
    [InlineData("""{"input":["a",5]}""", "input[1] must be")]
    [InlineData("""{"input":[1.5]}""", "whole numbers")]
    [InlineData("""{"input":[-3]}""", "token -3")]
    [InlineData("""{"input":"a","encoding_format":"hex"}""", "encoding_format is 'hex'")]
    [InlineData("""{"input":"a","dimensions":0}""", "dimensions is 0")]
    [InlineData("""{"input":"a","dimensions":1000000}""", "dimensions is 1000000")]
    public async Task A_bad_request_is_told_in_the_shape_of_openai(string json, string message)
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture, embeddings: _engine);
        (HttpStatusCode status, JsonElement body) = await server.PostAsync(Path, json);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_request_error", body.GetProperty("error").GetProperty("type").GetString());
        Assert.Contains(message, body.GetProperty("error").GetProperty("message").GetString());
    }

    [Fact]
    public async Task An_input_that_is_too_long_and_a_server_without_embeddings_say_so()
    {
        await using (ServerFixture server = await ServerFixture.StartAsync(fixture, embeddings: _engine))
        {
            (HttpStatusCode status, JsonElement body) = await server.PostAsync(
                Path, $$"""{"input":["a",[{{string.Join(',', Enumerable.Repeat(5, 600))}}]]}""");
            Assert.Equal(HttpStatusCode.BadRequest, status);
            Assert.Equal("context_length_exceeded", body.GetProperty("error").GetProperty("code").GetString());
            Assert.Contains("Input 1 has 600 tokens", body.GetProperty("error").GetProperty("message").GetString());
        }

        await using ServerFixture without = await ServerFixture.StartAsync(fixture);
        Assert.Equal(HttpStatusCode.NotImplemented, (await without.PostAsync(Path, """{"input":"a"}""")).Status);
    }

    public ValueTask DisposeAsync() => _engine.DisposeAsync();

    private static float[] Floats(JsonElement entry) =>
        [.. entry.GetProperty("embedding").EnumerateArray().Select(value => value.GetSingle())];

    private static void Near(float[] expected, float[] actual) =>
        Assert.Equal(1, expected.Zip(actual, (one, other) => (double)one * other).Sum(), 1e-3);
}
