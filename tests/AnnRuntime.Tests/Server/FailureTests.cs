using System.Net;
using System.Text.Json;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>What fails below a request becomes an error response; the server goes on and answers as before.</summary>
public sealed class FailureTests(ModelFixture fixture)
{
    private const string Question = """{"prompt":"A compiler reads the text of a program","max_tokens":8,"temperature":0}""";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_context_that_cannot_be_had_leaves_the_others_alone()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        string before = await AnswerAsync(server);
        for (int attempt = 0; attempt < 5; attempt++)
        {
            var exception = Assert.Throws<NotEnoughMemoryException>(() => new GenerationEngine(fixture.Model, new EngineOptions
            {
                Context = new ContextOptions { ContextLength = 1 << 30, MaxSequences = 4 },
            }));
            Assert.Contains("1073741824 cells", exception.Message, StringComparison.Ordinal);
        }

        Assert.Equal(before, await AnswerAsync(server));
    }

    [Fact]
    public async Task Out_of_memory_while_growing_is_told_and_what_else_runs_goes_on()
    {
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        string expected = await AnswerAsync(server);
        int[] prompt = fixture.Prose(200);
        var request = new GenerationRequest
        {
            Prompt = prompt,
            Mode = SearchMode.Dense,
            Options = new GenerationOptions { MaxTokens = 24, Sampling = SamplingOptions.Greedy, IgnoreEndOfGeneration = true },
        };
        string other = (await server.Engine.CompleteAsync(request, Token)).Text;

        // another group's request is under way when the memory ends: the batch after its fifth token fails
        using AnnRuntime.Generation running = server.Engine.Submit(request, Token);
        await using IAsyncEnumerator<GeneratedToken> tokens = running.GetAsyncEnumerator(Token);
        for (int token = 0; token < 5; token++)
        {
            Assert.True(await tokens.MoveNextAsync());
        }

        int failures = 0;
        server.Engine.BeforeDecode = choice =>
        {
            if (choice.Mode == SearchMode.Exact && failures++ == 0)
            {
                throw new NotEnoughMemoryException("The index over the search keys ran out of memory.");
            }
        };
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("/v1/completions", Question);
        string rest = "";
        while (await tokens.MoveNextAsync())
        {
            rest += tokens.Current.Text;
        }

        server.Engine.BeforeDecode = null;
        Assert.True(failures > 0, "nothing failed");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Equal("out_of_memory", body.GetProperty("error").GetProperty("code").GetString());
        Assert.Contains("ran out of memory", body.GetProperty("error").GetProperty("message").GetString());
        Assert.Equal(other, (await running.Result).Text);
        Assert.NotEmpty(rest);
        Assert.Equal(expected, await AnswerAsync(server));
    }

    [Fact]
    public async Task A_model_file_that_vanishes_is_served_on_and_a_prefix_keeps_its_name()
    {
        using var file = new TemporaryFile();
        using var prefix = new TemporaryFile(extension: ".kv");
        File.Copy(ModelFixture.ModelPath, file.Path);
        using AnnModel model = AnnModel.Load(file.Path);
        await using ServerFixture server = await ServerFixture.StartAsync(model);
        string before = await AnswerAsync(server);
        JsonElement created = await ModelAsync(server);

        File.Delete(file.Path);
        File.WriteAllText(file.Path, "another file");

        Assert.Equal(before, await AnswerAsync(server));
        Assert.Equal(created.GetRawText(), (await ModelAsync(server)).GetRawText());
        int[] prompt = model.Tokenizer.Tokenize("A compiler reads the text of a program");
        await server.Engine.SavePrefixAsync(prompt, prefix.Path, Token);
        await using var again = new GenerationEngine(fixture.Model, new EngineOptions
        {
            Context = new ContextOptions { ContextLength = 1024, MaxSequences = 2, UbatchSize = 128 },
        });
        Assert.Equal(prompt, (await again.RestorePrefixAsync(prefix.Path, Token)).Take(prompt.Length));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1000)]
    [InlineData(12_000_000)]
    public void A_file_that_is_cut_short_is_refused(int length)
    {
        using var file = new TemporaryFile();
        File.Copy(ModelFixture.ModelPath, file.Path);
        using (FileStream stream = File.OpenWrite(file.Path))
        {
            stream.SetLength(length);
        }

        InvalidModelException exception = Assert.Throws<InvalidModelException>(() => AnnModel.Load(file.Path));
        Assert.NotEmpty(exception.Message);
    }

    /// <summary>Read, not mapped: a page of a mapped file that is cut ends the process.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_file_that_is_cut_or_gone_while_it_is_read_does_no_harm(bool cut)
    {
        using var file = new TemporaryFile();
        File.Copy(ModelFixture.ModelPath, file.Path);
        bool done = false;
        var progress = new Now(_ =>
        {
            if (done)
            {
                return;
            }

            done = true;
            if (cut)
            {
                using FileStream stream = File.OpenWrite(file.Path);
                stream.SetLength(6_000_000);
            }
            else
            {
                File.Delete(file.Path);
            }
        });
        if (cut)
        {
            InvalidModelException exception = Assert.Throws<InvalidModelException>(
                () => AnnModel.Load(file.Path, new ModelOptions { MemoryMap = false }, progress, Token));
            Assert.NotEmpty(exception.Message);
        }
        else
        {
            using AnnModel model = AnnModel.Load(file.Path, new ModelOptions { MemoryMap = false }, progress, Token);
            Assert.Equal(fixture.Model.Tokenizer.Tokenize("a compiler"), model.Tokenizer.Tokenize("a compiler"));
        }

        Assert.True(done, "the load told no progress");
    }

    private static async Task<string> AnswerAsync(ServerFixture server)
    {
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("/v1/completions", Question);
        Assert.Equal(HttpStatusCode.OK, status);
        return body.GetProperty("choices")[0].GetProperty("text").GetString()!;
    }

    private static async Task<JsonElement> ModelAsync(ServerFixture server) =>
        JsonElement.Parse(await server.Client.GetStringAsync("/v1/models", Token)).GetProperty("data")[0];

    private sealed class Now(Action<float> report) : IProgress<float>
    {
        public void Report(float value) => report(value);
    }
}
