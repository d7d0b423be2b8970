using System.ClientModel;
using AnnRuntime.Tests.Extensions;
using Microsoft.Extensions.AI;
using OpenAI;
using OpenAI.Chat;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Tests.Server;

/// <summary>The contract, for the server through OpenAI's client.</summary>
public sealed class OpenAiChatClientContractTests(ToolModelFixture fixture) : ChatClientContract, IAsyncDisposable
{
    private ServerFixture? _server;

    public ValueTask DisposeAsync() => _server?.DisposeAsync() ?? ValueTask.CompletedTask;

    protected override async Task<IChatClient> CreateAsync()
    {
        _server ??= await ServerFixture.StartAsync(fixture.Model, engineOptions: new EngineOptions
        {
            Context = new ContextOptions { ContextLength = 4096, MaxSequences = 4, UbatchSize = 128 },
        });
        var client = new OpenAIClient(
            new ApiKeyCredential("any"), new OpenAIClientOptions { Endpoint = new Uri(_server.Client.BaseAddress!, "/v1") });
        return client.GetChatClient(Path.GetFileNameWithoutExtension(fixture.Model.Path)).AsIChatClient();
    }

    protected override void Follow(Meai.ChatOptions options, string grammar) => options.RawRepresentationFactory = _ =>
    {
        var completion = new ChatCompletionOptions();
        completion.Patch.Set("$.grammar"u8, grammar); // the package's way to send a member that OpenAI does not have
        return completion;
    };
}
