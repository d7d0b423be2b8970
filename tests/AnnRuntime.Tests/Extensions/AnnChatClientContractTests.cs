using AnnRuntime.Extensions.AI;
using Microsoft.Extensions.AI;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Tests.Extensions;

/// <summary>The contract, for the engine in this process.</summary>
public sealed class AnnChatClientContractTests(ToolModelFixture fixture) : ChatClientContract, IAsyncDisposable
{
    private readonly GenerationEngine _engine = new(fixture.Model, new EngineOptions
    {
        Context = new ContextOptions { ContextLength = 4096, MaxSequences = 4, UbatchSize = 128 },
    });

    public ValueTask DisposeAsync() => _engine.DisposeAsync();

    protected override Task<IChatClient> CreateAsync() => Task.FromResult(_engine.AsChatClient());

    protected override void Follow(Meai.ChatOptions options, string grammar) =>
        options.RawRepresentationFactory = _ => new GenerationRequest
        {
            Prompt = [0],
            Options = new GenerationOptions { Sampling = new SamplingOptions { Grammar = grammar } },
        };
}
