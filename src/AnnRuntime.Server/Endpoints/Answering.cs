using System.Diagnostics.CodeAnalysis;
using System.Text;
using AnnRuntime.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server.Endpoints;

/// <summary>Runs a request of the engine and answers whole or as a stream. Chats and texts differ in the format alone.</summary>
internal sealed class Answering(GenerationEngine engine, ServerOptions options, IAnswerFormat format, GenerationParameters parameters)
{
    private readonly string _id = $"{format.IdPrefix}-{Guid.NewGuid():N}";
    private readonly long _created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public async Task RunAsync(HttpContext http, GenerationRequest request)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        stop.CancelAfter(options.Timeout);
        using Generation generation = engine.Submit(request, stop.Token);
        if (parameters.Stream)
        {
            await StreamAsync(http, generation);
            return;
        }

        GenerationResult result = await generation.Result;
        CompletionResponse response = Response(
            format.Object, format.Whole(result) with { FinishReason = Reason(result, format.HasToolCalls) }) with
        {
            Usage = Usage.Of(result.Timings),
            Timings = Timings.Of(result.Timings),
            Ann = Ann(generation, result),
        };
        await HttpJson.WriteAsync(http, response, ServerJson.Default.CompletionResponse);
    }

    [SuppressMessage("Design", "CA1031", Justification = "a stream that has begun tells its error as an event")]
    private async Task StreamAsync(HttpContext http, Generation generation)
    {
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-cache";
        try
        {
            GenerationResult result = await StreamTokensAsync(http, generation);
            CompletionResponse last = Response(
                format.ChunkObject, format.End(result) with { FinishReason = Reason(result, format.HasToolCalls) });
            await SendAsync(http, last with { Timings = Timings.Of(result.Timings), Ann = Ann(generation, result) });
            if (parameters.StreamOptions?.IncludeUsage == true)
            {
                await SendAsync(http, last with { Choices = [], Usage = Usage.Of(result.Timings) });
            }

            await http.Response.WriteAsync("data: [DONE]\n\n", http.RequestAborted);
        }
        catch (Exception exception) when (!http.RequestAborted.IsCancellationRequested)
        {
            await HttpJson.WriteEventAsync(http, ApiException.From(exception).Body, ServerJson.Default.ErrorResponse);
        }
    }

    private async Task<GenerationResult> StreamTokensAsync(HttpContext http, Generation generation)
    {
        bool observed = generation.Request.Observe;
        await SendAsync(http, Response(format.ChunkObject, format.Begin()) with
        {
            Ann = observed ? new AnnBlock { Prompt = Pieces(generation.Request.Prompt) } : null,
        });
        var text = new StringBuilder();
        await foreach (GeneratedToken token in generation)
        {
            text.Append(token.Text);
            Choice? delta = format.Delta(text, token.Text);
            if (delta is not null || observed)
            {
                await SendAsync(http, Response(format.ChunkObject, delta) with
                {
                    Ann = observed ? new AnnBlock { Token = Piece(token.Id), Retrieval = generation.Retrieval } : null,
                });
            }
        }

        return await generation.Result;
    }

    private static Task SendAsync(HttpContext http, CompletionResponse chunk) =>
        HttpJson.WriteEventAsync(http, chunk, ServerJson.Default.CompletionResponse);

    private CompletionResponse Response(string kind, Choice? choice) => new()
    {
        Id = _id,
        Object = kind,
        Created = _created,
        Model = AnnServer.ModelName(engine.Model, options),
        Choices = choice is null ? [] : [choice],
    };

    private static string Reason(GenerationResult result, bool hasToolCalls) =>
        hasToolCalls ? "tool_calls"
        : result.FinishReason is FinishReason.MaxTokens or FinishReason.ContextFull ? "length"
        : "stop";

    private AnnBlock Ann(Generation generation, GenerationResult result)
    {
        SearchMode mode = generation.Request.Mode ?? engine.Search.Mode!.Value;
        return new AnnBlock
        {
            Mode = mode.ToString().ToLowerInvariant(),
            TopK = mode is not (SearchMode.Off or SearchMode.Dense) ? generation.Request.TopK ?? engine.Search.TopK : null,
            ForgottenTokens = result.ForgottenTokens > 0 ? result.ForgottenTokens : null,
            Retrieval = generation.Retrieval,
        };
    }

    private string[] Pieces(IReadOnlyList<int> tokens) => [.. tokens.Select(Piece)];

    private string Piece(int token) => Encoding.UTF8.GetString(engine.Model.Tokenizer.GetBytes(token, special: true));
}
