using System.Text.Json;
using AnnRuntime.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server;

/// <summary>A request that is refused, and the table from exceptions to answers in OpenAI's shape.</summary>
internal sealed class ApiException(int status, string message, string type, string? code = null, string? param = null)
    : Exception(message)
{
    public int Status { get; } = status;

    /// <summary>When to try again, if the status is 429. Default 1.</summary>
    public int RetryAfterSeconds { get; init; } = 1;

    public ErrorResponse Body { get; } = new(new ErrorBody(message, type, code, param));

    public static ApiException Invalid(string message, string? param = null) =>
        new(StatusCodes.Status400BadRequest, message, "invalid_request_error", param: param);

    /// <summary>What a client is told of an exception.</summary>
    public static ApiException From(Exception exception) => exception switch
    {
        ApiException api => api,
        EngineBusyException { IsDraining: true } => new(
            StatusCodes.Status503ServiceUnavailable, exception.Message, "server_error", "shutting_down"),
        EngineBusyException => new(StatusCodes.Status429TooManyRequests, exception.Message, "rate_limit_error", "engine_busy"),
        ContextFullException => new(
            StatusCodes.Status400BadRequest, exception.Message, "invalid_request_error", "context_length_exceeded"),
        BadHttpRequestException bad => new(bad.StatusCode, bad.Message, "invalid_request_error"),
        JsonException json => Invalid($"The body is no valid JSON of this request: {json.Message}"),
        ArgumentException or UnsupportedModelException => Invalid(exception.Message),
        OperationCanceledException => new(
            StatusCodes.Status408RequestTimeout, "The request took longer than the server allows.", "timeout_error", "timeout"),
        ObjectDisposedException => new(
            StatusCodes.Status503ServiceUnavailable, "The server is shutting down.", "server_error", "shutting_down"),
        NotEnoughMemoryException => new(
            StatusCodes.Status503ServiceUnavailable, exception.Message, "server_error", "out_of_memory"),
        _ => new(StatusCodes.Status500InternalServerError, exception.Message, "server_error"),
    };
}
