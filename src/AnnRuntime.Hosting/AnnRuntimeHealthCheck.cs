using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace AnnRuntime.Hosting;

/// <summary>Whether a model can take a request.</summary>
internal sealed class AnnRuntimeHealthCheck(HostedModel hosted) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Check());

    private HealthCheckResult Check()
    {
        if (hosted.Loaded is not { } engine)
        {
            return HealthCheckResult.Unhealthy(
                hosted.Failure is { } failure
                    ? $"{hosted.Name} cannot be loaded: {failure.Message}"
                    : $"{hosted.Name} is loading: {hosted.Percent} %.",
                hosted.Failure);
        }

        EngineMetrics metrics = engine.GetMetrics();
        Dictionary<string, object> data = new()
        {
            ["running"] = metrics.Running,
            ["queued"] = metrics.Queued,
            ["cells_used"] = metrics.CellsUsed,
            ["cells"] = metrics.Cells,
        };
        return engine.IsDraining ? HealthCheckResult.Unhealthy($"{hosted.Name} is shutting down.", data: data)
            : metrics.Running + metrics.Queued >= engine.Options.Context.MaxSequences + engine.Options.QueueLimit
                ? HealthCheckResult.Degraded($"{hosted.Name} refuses requests: {metrics.Queued} wait.", data: data)
            : HealthCheckResult.Healthy($"{hosted.Name} takes requests.", data);
    }
}
