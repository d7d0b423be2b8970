using System.Buffers.Binary;
using System.Text.Json;
using AnnRuntime.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server.Endpoints;

/// <summary>/v1/embeddings.</summary>
internal static class Embedding
{
    public static async Task AnswerAsync(HttpContext http, EmbeddingEngine? engine, ServerOptions options)
    {
        if (engine is null)
        {
            throw new ApiException(
                StatusCodes.Status501NotImplemented, "This server has no embeddings.", "not_supported_error", "no_embeddings");
        }

        EmbeddingRequest request = await HttpJson.ReadAsync(http, ServerJson.Default.EmbeddingRequest);
        AnnServer.RequireModel(request.Model, engine.Model, options);
        bool base64 = request.EncodingFormat switch
        {
            null or "float" => false,
            "base64" => true,
            var other => throw ApiException.Invalid($"encoding_format is '{other}'; it must be float or base64.", "encoding_format"),
        };
        IReadOnlyList<IReadOnlyList<int>> inputs = RequestMapper.Inputs(request.Input, engine.Model.Tokenizer);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        stop.CancelAfter(options.Timeout);
        IReadOnlyList<float[]> embeddings = await engine.EmbedAsync(inputs, request.Dimensions, stop.Token);

        int tokens = inputs.Sum(input => input.Count);
        var answer = new EmbeddingList(
            "list",
            [.. embeddings.Select((values, index) => new EmbeddingEntry("embedding", index, Encode(values, base64)))],
            AnnServer.ModelName(engine.Model, options),
            new EmbeddingUsage(tokens, tokens));
        await HttpJson.WriteAsync(http, answer, ServerJson.Default.EmbeddingList);
    }

    private static JsonElement Encode(float[] values, bool base64)
    {
        if (!base64)
        {
            return JsonSerializer.SerializeToElement(values, ServerJson.Default.SingleArray);
        }

        byte[] bytes = new byte[values.Length * sizeof(float)];
        for (int index = 0; index < values.Length; index++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(index * sizeof(float)), values[index]);
        }

        return JsonSerializer.SerializeToElement(Convert.ToBase64String(bytes), ServerJson.Default.String);
    }
}
