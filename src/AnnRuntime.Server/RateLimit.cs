using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server;

/// <summary>Requests of a client in a minute. A client is what it authorises itself with, or else its address.</summary>
/// <param name="requestsPerMinute">At least 1.</param>
internal sealed class RateLimit(int requestsPerMinute)
{
    private readonly PartitionedRateLimiter<HttpContext> _limiter = PartitionedRateLimiter.Create<HttpContext, string>(http =>
        RateLimitPartition.GetFixedWindowLimiter(
            http.Request.Headers.Authorization is [{ Length: > 0 } key] ? key : $"{http.Connection.RemoteIpAddress}",
            _ => new FixedWindowRateLimiterOptions { PermitLimit = requestsPerMinute, Window = TimeSpan.FromMinutes(1) }));

    /// <summary>Counts a request.</summary>
    /// <exception cref="ApiException">One too many; 429.</exception>
    public void Count(HttpContext http)
    {
        using RateLimitLease lease = _limiter.AttemptAcquire(http);
        if (!lease.IsAcquired)
        {
            throw new ApiException(
                StatusCodes.Status429TooManyRequests,
                $"The server allows a client {requestsPerMinute} requests a minute; try again when the minute is over.",
                "rate_limit_error", "rate_limit_exceeded");
        }
    }
}
