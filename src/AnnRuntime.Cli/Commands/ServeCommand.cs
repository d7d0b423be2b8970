using System.CommandLine;
using AnnRuntime.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>serve</c>: an OpenAI-compatible server with a page.</summary>
internal static class ServeCommand
{
    /// <summary>Cells when none are asked for and the model was trained to more.</summary>
    private const int DefaultLength = 8192;

    public static Command Create()
    {
        var model = new ModelArguments();
        Option<string> host = new("--host")
        {
            Description = "The address to listen on. Default: 127.0.0.1, which other machines cannot reach.",
            HelpName = "ADDRESS",
            DefaultValueFactory = _ => "127.0.0.1",
        };
        Option<int> port = Make.Integer("--port", "The port; 0: a free one.", 0, 65535, 8080);
        Option<string[]> keys = new("--api-key")
        {
            Description = "A key that requests must carry (Authorization: Bearer KEY); may be repeated. Default: none.",
            HelpName = "KEY",
        };
        Option<int> parallel = Make.Integer("--parallel", "Answers computed at once.", 1, 256, 4);
        Option<int> queue = Make.Integer("--queue", "Requests that may wait; others get 429.", 0, int.MaxValue, 64);
        Option<int> count = Make.Integer(
            "--tokens", "Most tokens of an answer whose request sets no limit.", 1, int.MaxValue, 1024, "-n");
        Option<int> rate = Make.Integer(
            "--rate", "Requests of a client (API key, or address) in a minute; more get 429. 0: no limit.", 0, int.MaxValue, 0);
        Option<bool> anyModel = new("--any-model")
        {
            Description = "Answers requests that name another model too. Default: they get 404.",
        };
        Option<int> measure = Make.Integer(
            "--measure-every",
            "Every N-th step of generation is compared with full attention, for /metrics: cells visited, mass, recall. 0: none.",
            0, int.MaxValue, 0);
        Option<string?> pooling = Make.Choice(
            "--pooling", "How /v1/embeddings makes one of the tokens'. Default: as the file says, else mean.", "mean", "cls", "last");
        Option<int?> embeddingLength = Make.Integer(
            "--embedding-ctx",
            $"Cells for /v1/embeddings, the longest input; taken when it is first used. Default: the model's training length, at most {DefaultLength}.",
            1);
        var search = new SearchArguments();
        var context = new ContextArguments($"the model's training length, at most {DefaultLength}");
        Command command = new(
            "serve",
            "Serves OpenAI's API (/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models) and a page that shows what each layer "
            + "retrieves. Ctrl-C ends it after the running answers.");
        model.AddTo(command);
        command.Options.Add(host);
        command.Options.Add(port);
        command.Options.Add(keys);
        command.Options.Add(parallel);
        command.Options.Add(queue);
        command.Options.Add(count);
        command.Options.Add(rate);
        command.Options.Add(anyModel);
        command.Options.Add(measure);
        command.Options.Add(pooling);
        command.Options.Add(embeddingLength);
        search.AddTo(command);
        context.AddTo(command);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            ContextOptions read = context.Read(parse, Math.Min(loaded.Info.TrainingLength, DefaultLength), search.Read(parse));
            await using var engine = new GenerationEngine(loaded, new EngineOptions
            {
                Context = read with { MaxSequences = parse.GetValue(parallel) },
                QueueLimit = parse.GetValue(queue),
                MeasureEvery = parse.GetValue(measure),
            });
            var options = new ServerOptions
            {
                ApiKeys = parse.GetValue(keys) ?? [],
                DefaultMaxTokens = parse.GetValue(count),
                AnyModel = parse.GetValue(anyModel),
                RequestsPerMinute = parse.GetValue(rate),
            };
            var embedding = new EmbeddingOptions
            {
                Pooling = parse.GetValue(pooling) is { } name ? Enum.Parse<Pooling>(name, ignoreCase: true) : null,
            };
            embedding = embedding with
            {
                Context = read with
                {
                    ContextLength = parse.GetValue(embeddingLength),
                    MaxSequences = embedding.Context.MaxSequences,
                    BatchSize = embedding.Context.BatchSize,
                },
            };
            await RunAsync(engine, embedding, options, parse.GetValue(host)!, parse.GetValue(port), terminal, cancellationToken);
            return ExitCode.Ok;
        });
    }

    private static async Task RunAsync(
        GenerationEngine engine, EmbeddingOptions embedding, ServerOptions options, string host, int port, Terminal terminal,
        CancellationToken stop)
    {
        const string Name = "serve";
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.AddKeyedSingleton(Name, engine);
        builder.Services.AddKeyedSingleton(Name, (_, _) => new EmbeddingEngine(engine.Model, embedding));
        builder.WebHost.UseKestrelCore().UseUrls($"http://{host}:{port}");
        builder.Logging.ClearProviders();
        await using WebApplication app = builder.Build();
        app.MapAnnRuntime(Name, options);
        await app.StartAsync(stop);
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        terminal.Output.WriteLine(address);
        terminal.Error.WriteLine(
            $"{Format.Search(engine.Search)}, {engine.Memory.Cells} cells, {engine.Options.Context.MaxSequences} answers at once. "
            + $"The page is at {address}/. Ctrl-C ends it.");
        await Task.Delay(Timeout.Infinite, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        terminal.Error.WriteLine("Waiting for the running answers, at most 10 seconds ...");
        using var ended = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        try
        {
            await engine.DrainAsync(ended.Token);
        }
        catch (OperationCanceledException)
        {
            terminal.Error.WriteLine("Some answers were cut off.");
        }

        await app.StopAsync(CancellationToken.None);
    }
}
