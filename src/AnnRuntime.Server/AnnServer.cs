using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using AnnRuntime.Server.Endpoints;
using AnnRuntime.Server.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace AnnRuntime.Server;

/// <summary>The endpoints of an engine. They read and write without reflection, so a trimmed program may host them.</summary>
public static class AnnServer
{
    /// <summary>
    /// Maps /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models (and one of them), /tokenize, /detokenize,
    /// /health, /metrics, /slots and the page at /, with its /example.
    /// </summary>
    /// <param name="app">The application.</param>
    /// <param name="engine">The engine; the application does not dispose it.</param>
    /// <param name="options">Default: no keys, 1024 tokens an answer, 16 MiB a body, 10 minutes a request.</param>
    /// <param name="embeddings">Answers /v1/embeddings; the application does not dispose it. Default none: that endpoint answers 501.</param>
    public static void MapAnnRuntime(
        this IEndpointRouteBuilder app, GenerationEngine engine, ServerOptions? options = null, EmbeddingEngine? embeddings = null)
    {
        ArgumentNullException.ThrowIfNull(app);
        ArgumentNullException.ThrowIfNull(engine);
        MapAll(app, () => engine, () => embeddings, options ?? new ServerOptions());
    }

    /// <summary>Maps the endpoints of engines that are keyed services, as AddAnnRuntime of AnnRuntime.Hosting registers them.</summary>
    /// <param name="app">The application. An engine is asked for by the first request that needs it, not now.</param>
    /// <param name="name">The key.</param>
    /// <param name="options">Default: no keys, 1024 tokens an answer, 16 MiB a body, 10 minutes a request.</param>
    /// <exception cref="InvalidOperationException">No engine is registered under this name.</exception>
    public static void MapAnnRuntime(this IEndpointRouteBuilder app, string name, ServerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(app);
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (app.ServiceProvider.GetService<IServiceProviderIsKeyedService>()?.IsKeyedService(typeof(GenerationEngine), name) == false)
        {
            throw new InvalidOperationException(
                $"No engine is registered under the name '{name}'; call services.AddAnnRuntime(\"{name}\") before the application is built.");
        }

        MapAll(
            app,
            () => app.ServiceProvider.GetRequiredKeyedService<GenerationEngine>(name),
            () => app.ServiceProvider.GetKeyedService<EmbeddingEngine>(name),
            options ?? new ServerOptions());
    }

    internal static string ModelName(AnnModel model, ServerOptions options) =>
        options.ModelName ?? Path.GetFileNameWithoutExtension(model.Path);

    private static void MapAll(
        IEndpointRouteBuilder app, Func<GenerationEngine> engine, Func<EmbeddingEngine?> embeddings, ServerOptions options)
    {
        byte[][] keys = [.. options.ApiKeys.Select(Encoding.UTF8.GetBytes)];
        RateLimit? rate = options.RequestsPerMinute > 0 ? new RateLimit(options.RequestsPerMinute, byKey: keys.Length > 0) : null;

        void Map(string method, string path, RequestDelegate body, bool open = false, RateLimit? limit = null) =>
            app.MapMethods(path, [method], (RequestDelegate)(http => GuardAsync(http, body, open ? [] : keys, limit, options)));

        Map("GET", "/", http => PageFile.WriteAsync(http, "index.html", "text/html"), open: true);
        Map("GET", "/page.css", http => PageFile.WriteAsync(http, "page.css", "text/css"), open: true);
        Map("GET", "/page.js", http => PageFile.WriteAsync(http, "page.js", "text/javascript"), open: true);
        Map("GET", "/example", http => ExampleAsync(http, engine()));
        Map("GET", "/health", http => HealthAsync(http, engine()), open: true);
        Map("POST", "/v1/chat/completions", http => ChatAsync(http, engine(), options), limit: rate);
        Map("POST", "/v1/completions", http => CompleteAsync(http, engine(), options), limit: rate);
        Map("POST", "/v1/embeddings", http => Embedding.AnswerAsync(http, embeddings(), options), limit: rate);
        Map("GET", "/v1/models", http => HttpJson.WriteAsync(
            http, new ModelList("list", [Describe(engine(), options)]), ServerJson.Default.ModelList));
        Map("GET", "/v1/models/{**name}", http => ModelAsync(http, engine(), options));
        Map("POST", "/tokenize", http => TokenizeAsync(http, engine()));
        Map("POST", "/detokenize", http => DetokenizeAsync(http, engine()));
        Map("GET", "/slots", http => HttpJson.WriteAsync(http, engine().Slots, ServerJson.Default.IReadOnlyListSlotStatus));
        Map("GET", "/metrics", http =>
        {
            http.Response.ContentType = "text/plain; version=0.0.4";
            return http.Response.WriteAsync(PrometheusText.Write(engine().GetMetrics()));
        });
        app.MapFallback((RequestDelegate)(http => GuardAsync(
            http,
            _ => throw new ApiException(404, $"There is no {http.Request.Method} {http.Request.Path}.", "invalid_request_error", "not_found"),
            [], limit: null, options)));
    }

    private static async Task GuardAsync(
        HttpContext http, RequestDelegate body, byte[][] keys, RateLimit? limit, ServerOptions options)
    {
        try
        {
            if (keys.Length > 0 && !IsAllowed(http, keys))
            {
                throw new ApiException(401, "The API key is missing or wrong.", "authentication_error", "invalid_api_key");
            }

            limit?.Count(http);
            if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            {
                size.MaxRequestBodySize = options.MaxBodyBytes;
            }

            await body(http);
        }
        catch (Exception) when (http.RequestAborted.IsCancellationRequested || http.Response.HasStarted)
        {
            http.Abort(); // nobody reads, or half an answer is out
        }
        catch (Exception exception)
        {
            ApiException error = ApiException.From(exception);
            http.Response.StatusCode = error.Status;
            if (error.Status == StatusCodes.Status429TooManyRequests)
            {
                http.Response.Headers.RetryAfter = error.RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
            }

            await HttpJson.WriteAsync(http, error.Body, ServerJson.Default.ErrorResponse);
        }
    }

    private static bool IsAllowed(HttpContext http, byte[][] keys)
    {
        const string Scheme = "Bearer ";
        string header = http.Request.Headers.Authorization.ToString();
        if (!header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        byte[] given = Encoding.UTF8.GetBytes(header[Scheme.Length..].Trim());
        return keys.Aggregate(false, (found, key) => CryptographicOperations.FixedTimeEquals(key, given) | found);
    }

    private static async Task ChatAsync(HttpContext http, GenerationEngine engine, ServerOptions options)
    {
        ChatCompletionRequest request = await HttpJson.ReadAsync(http, ServerJson.Default.ChatCompletionRequest);
        RequireModel(request.Model, engine.Model, options);
        ChatPrompt prompt = engine.Model.ChatTemplate.Apply(RequestMapper.Messages(request.Messages), RequestMapper.Chat(request));
        var template = new GenerationOptions
        {
            StopStrings = prompt.Stops,
            ShownTokens = prompt.PreservedTokens,
            Sampling = prompt.Constrain(new SamplingOptions()),
        };
        GenerationRequest engineRequest = RequestMapper.ToEngine(
            request, engine.Model.Tokenizer.Tokenize(prompt.Prompt), template, options);
        await new Answering(engine, options, new ChatFormat(prompt), request).RunAsync(http, engineRequest with { Operation = "chat" });
    }

    private static async Task CompleteAsync(HttpContext http, GenerationEngine engine, ServerOptions options)
    {
        CompletionRequest request = await HttpJson.ReadAsync(http, ServerJson.Default.CompletionRequest);
        RequireModel(request.Model, engine.Model, options);
        IReadOnlyList<int> prompt = RequestMapper.Prompt(request.Prompt, engine.Model.Tokenizer);
        GenerationRequest engineRequest = RequestMapper.ToEngine(request, prompt, new GenerationOptions(), options);
        await new Answering(engine, options, new TextFormat(), request).RunAsync(http, engineRequest);
    }

    internal static void RequireModel(string? name, AnnModel model, ServerOptions options)
    {
        if (!string.IsNullOrEmpty(name) && !options.AnyModel && name != ModelName(model, options))
        {
            throw new ApiException(
                404, $"There is no model '{name}'; this server has '{ModelName(model, options)}'.", "invalid_request_error",
                "model_not_found", "model");
        }
    }

    private static Task ModelAsync(HttpContext http, GenerationEngine engine, ServerOptions options)
    {
        RequireModel(http.Request.RouteValues["name"] as string, engine.Model, options);
        return HttpJson.WriteAsync(http, Describe(engine, options), ServerJson.Default.ModelEntry);
    }

    private static ModelEntry Describe(GenerationEngine engine, ServerOptions options)
    {
        ModelInfo info = engine.Model.Info;
        var meta = new ModelMeta(
            info.VocabularySize, info.TrainingLength, engine.SequenceLength, info.EmbeddingLength, info.Parameters, info.SizeBytes,
            engine.Search.Mode!.Value.ToString().ToLowerInvariant(), engine.Search.TopK, engine.Model.SearchedLayers);
        return new ModelEntry(
            ModelName(engine.Model, options), "model", engine.Model.Written.ToUnixTimeSeconds(),
            "ann-runtime", meta);
    }

    private static async Task TokenizeAsync(HttpContext http, GenerationEngine engine)
    {
        TokenizeRequest request = await HttpJson.ReadAsync(http, ServerJson.Default.TokenizeRequest);
        string text = request.Content ?? throw ApiException.Invalid("content is missing.", "content");
        int[] tokens = engine.Model.Tokenizer.Tokenize(text, request.AddSpecial);
        await HttpJson.WriteAsync(http, new TokenizeResponse(tokens), ServerJson.Default.TokenizeResponse);
    }

    private static async Task DetokenizeAsync(HttpContext http, GenerationEngine engine)
    {
        DetokenizeRequest request = await HttpJson.ReadAsync(http, ServerJson.Default.DetokenizeRequest);
        IReadOnlyList<int> tokens = request.Tokens ?? throw ApiException.Invalid("tokens is missing.", "tokens");
        string text = engine.Model.Tokenizer.Detokenize([.. tokens], special: true);
        await HttpJson.WriteAsync(http, new DetokenizeResponse(text), ServerJson.Default.DetokenizeResponse);
    }

    private static Task HealthAsync(HttpContext http, GenerationEngine engine)
    {
        http.Response.StatusCode = engine.IsDraining ? 503 : 200;
        return HttpJson.WriteAsync(http, new Health(engine.IsDraining ? "shutting down" : "ok"), ServerJson.Default.Health);
    }

    private static Task ExampleAsync(HttpContext http, GenerationEngine engine)
    {
        int Number(string name, int unset) => http.Request.Query[name].ToString() is not { Length: > 0 } text ? unset
            : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value
            : throw ApiException.Invalid($"{name} is '{text}'; it must be a whole number.", name);

        int length = Number("tokens", 1024);
        int most = engine.SequenceLength - PasswordRecall.AnswerTokens;
        if (length > most)
        {
            throw ApiException.Invalid($"tokens is {length}; this server takes prompts of up to {most} with an answer.", "tokens");
        }

        PasswordPrompt prompt = new PasswordPromptGenerator(engine.Model).Create(
            new PasswordPromptOptions { Length = length, Seed = Number("seed", 1) });
        return HttpJson.WriteAsync(http, new Example(prompt.Text, prompt.Answer), ServerJson.Default.Example);
    }
}
