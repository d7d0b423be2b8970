using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server.Endpoints;

/// <summary>Reads and writes bodies.</summary>
internal static class HttpJson
{
    public static async Task<T> ReadAsync<T>(HttpContext http, JsonTypeInfo<T> type) =>
        await JsonSerializer.DeserializeAsync(http.Request.Body, type, http.RequestAborted)
        ?? throw ApiException.Invalid("The body is null; it must be a JSON object.");

    public static Task WriteAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type)
    {
        http.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(http.Response.Body, value, type, http.RequestAborted);
    }

    /// <summary>One server-sent event, sent at once.</summary>
    public static async Task WriteEventAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type)
    {
        await http.Response.WriteAsync($"data: {JsonSerializer.Serialize(value, type)}\n\n", http.RequestAborted);
        await http.Response.Body.FlushAsync(http.RequestAborted);
    }
}
