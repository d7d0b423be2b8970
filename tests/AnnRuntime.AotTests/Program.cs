// What a host does with a model, in a program that aot.sh compiles ahead of time: no reflection is left to fall back on.
//
//   AnnRuntime.AotTests MODEL.gguf
//
// Prints 'N passed, N failed' and ends with 1 when a check has failed.
using AnnRuntime;
using AnnRuntime.Hosting;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

int passed = 0;
int failed = 0;
string model = args[0];

await CheckAsync("options are bound, the model is loaded and answers", async () =>
{
    using IHost host = Build(("ModelPath", model), ("ContextLength", "512"), ("mode", "dense"), ("KeyType", "q8_0"));
    await host.StartAsync();
    var engine = host.Services.GetRequiredKeyedService<GenerationEngine>("main");
    ChatResponse answer = await host.Services.GetRequiredKeyedService<IChatClient>("main").GetResponseAsync(
        "What does a compiler do?", new() { MaxOutputTokens = 8 });
    await host.StopAsync();
    return engine.Search.Mode == SearchMode.Dense && engine.Options.Context.KeyType == CacheType.Q8_0
        && engine.SequenceLength == 512 && answer.Usage!.OutputTokenCount > 0;
});

await CheckAsync("a schema is followed", async () =>
{
    using IHost host = Build(("ModelPath", model), ("ContextLength", "512"));
    await host.StartAsync();
    ChatResponse answer = await host.Services.GetRequiredService<IChatClient>().GetResponseAsync("Is water wet?", new()
    {
        MaxOutputTokens = 60,
        Temperature = 0,
        ResponseFormat = ChatResponseFormat.ForJsonSchema(System.Text.Json.JsonElement.Parse(
            """{"type":"object","properties":{"wet":{"type":"boolean"}},"required":["wet"],"additionalProperties":false}""")),
    });
    return System.Text.Json.JsonElement.Parse(answer.Text).TryGetProperty("wet", out _);
});

await CheckAsync("texts are embedded", async () =>
{
    using IHost host = Build(("ModelPath", model), ("EmbeddingLength", "512"), ("Pooling", "last"));
    await host.StartAsync();
    var generator = host.Services.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>();
    GeneratedEmbeddings<Embedding<float>> both = await generator.GenerateAsync(["A compiler", "Memory"]);
    return both.Count == 2 && both[0].Vector.Length == generator.GetService<EmbeddingEngine>()!.Dimensions;
});

await CheckAsync("wrong options are refused with their sentences", async () =>
{
    using IHost host = Build(("TopK", "0"));
    try
    {
        await host.StartAsync();
        return false;
    }
    catch (OptionsValidationException exception)
    {
        return exception.Failures.SequenceEqual(
        [
            "AnnRuntime:main: ModelPath is missing; it must be the path of a GGUF file.",
            "AnnRuntime:main: TopK is 0; it must be at least 1.",
        ]);
    }
});

Console.WriteLine($"{passed} passed, {failed} failed");
return failed == 0 ? 0 : 1;

static IHost Build(params (string Key, string Value)[] settings)
{
    HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
    builder.Configuration.AddInMemoryCollection(
        settings.Select(setting => KeyValuePair.Create($"AnnRuntime:main:{setting.Key}", (string?)setting.Value)));
    builder.Services.AddAnnRuntime("main");
    return builder.Build();
}

async Task CheckAsync(string name, Func<Task<bool>> check)
{
    bool good;
    try
    {
        good = await check();
    }
    catch (Exception exception)
    {
        Console.WriteLine(exception);
        good = false;
    }

    Console.WriteLine($"{(good ? "passed" : "FAILED")}: {name}");
    _ = good ? passed++ : failed++;
}
