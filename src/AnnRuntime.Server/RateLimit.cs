using System.Globalization;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server;

/// <summary>Requests of a client in a minute.</summary>
/// <param name="requestsPerMinute">At least 1.</param>
/// <param name="byKey">
/// A client is its API key, which has been checked; otherwise its address: a header that nobody checks is not a client's name.
/// </param>
internal sealed class RateLimit(int requestsPerMinute, bool byKey)
{
    private readonly PartitionedRateLimiter<HttpContext> _limiter = PartitionedRateLimiter.Create<HttpContext, string>(http =>
        RateLimitPartition.GetFixedWindowLimiter(
            byKey ? http.Request.Headers.Authorization.ToString() : $"{http.Connection.RemoteIpAddress}",
            _ => new FixedWindowRateLimiterOptions { PermitLimit = requestsPerMinute, Window = TimeSpan.FromMinutes(1) }));

    /// <summary>Counts a request.</summary>
    /// <exception cref="ApiException">One too many; 429, with the seconds until the minute is over.</exception>
    public void Count(HttpContext http)
    {
        using RateLimitLease lease = _limiter.AttemptAcquire(http);
        if (!lease.IsAcquired)
        {
            int seconds = lease.TryGetMetadata(MetadataName.RetryAfter, out TimeSpan wait)
                ? Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds))
                : 60;
            throw new ApiException(
                StatusCodes.Status429TooManyRequests,
                string.Create(CultureInfo.InvariantCulture,
                    $"The server allows a client {requestsPerMinute} requests a minute; try again in {seconds} s."),
                "rate_limit_error", "rate_limit_exceeded") { RetryAfterSeconds = seconds };
        }
    }
}
