using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using AnnRuntime.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;

namespace AnnRuntime.Tests.Server;

/// <summary>A server on a free loopback port, with the embedded model.</summary>
internal sealed class ServerFixture : IAsyncDisposable
{
    private readonly WebApplication _app;

    private ServerFixture(WebApplication app, GenerationEngine engine)
    {
        _app = app;
        Engine = engine;
        Client = new HttpClient
        {
            BaseAddress = new Uri(app.Services.GetRequiredService<IServer>().Features
                .Get<IServerAddressesFeature>()!.Addresses.First()),
        };
    }

    public GenerationEngine Engine { get; }

    public HttpClient Client { get; }

    public static async Task<ServerFixture> StartAsync(
        ModelFixture fixture, ServerOptions? options = null, EngineOptions? engineOptions = null, EmbeddingEngine? embeddings = null) =>
        await StartAsync(fixture.Model, options, engineOptions, embeddings);

    public static async Task<ServerFixture> StartAsync(
        AnnModel model, ServerOptions? options = null, EngineOptions? engineOptions = null, EmbeddingEngine? embeddings = null)
    {
        var engine = new GenerationEngine(model, engineOptions ?? new EngineOptions
        {
            Context = new ContextOptions { ContextLength = 2048, MaxSequences = 4, UbatchSize = 128 },
        });
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        WebApplication app = builder.Build();
        app.MapAnnRuntime(engine, options, embeddings);
        await app.StartAsync();
        return new ServerFixture(app, engine);
    }

    /// <summary>Posts JSON and gives status and body.</summary>
    public async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(string path, string json, string? key = null)
    {
        using HttpResponseMessage response = await SendAsync(path, json, key);
        return (response.StatusCode, JsonElement.Parse(await response.Content.ReadAsStringAsync()));
    }

    /// <summary>Posts JSON and gives the events of the stream.</summary>
    public async Task<string[]> StreamAsync(string path, string json)
    {
        using HttpResponseMessage response = await SendAsync(path, json, key: null);
        string text = await response.Content.ReadAsStringAsync();
        return [.. text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(line => line["data: ".Length..])];
    }

    public async Task<HttpResponseMessage> SendAsync(
        string path, string json, string? key, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = new StringContent(json, Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = key is null ? null : new AuthenticationHeaderValue("Bearer", key);
        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
        await Engine.DisposeAsync();
    }
}
