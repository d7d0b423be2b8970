using System.Diagnostics.Metrics;

namespace AnnRuntime;

/// <summary>Counts what an engine does: for <see cref="GenerationEngine.GetMetrics"/> and for OpenTelemetry.</summary>
internal sealed class EngineMeter(string model)
{
    private static readonly Meter Meter = new(GenerationEngine.MeterName);
    private static readonly Histogram<double> Duration =
        Meter.CreateHistogram<double>("gen_ai.server.request.duration", "s", "Time from a request to its end.");
    private static readonly Histogram<double> FirstToken =
        Meter.CreateHistogram<double>("gen_ai.server.time_to_first_token", "s", "Time from a request to its first token.");
    private static readonly Histogram<double> PerToken =
        Meter.CreateHistogram<double>("gen_ai.server.time_per_output_token", "s", "Time of a token after the first.");
    private static readonly Histogram<int> BatchSize =
        Meter.CreateHistogram<int>("ann_runtime.decode.batch_size", "{request}", "Requests in one step.");
    private static readonly Counter<long> Cached =
        Meter.CreateCounter<long>("ann_runtime.prefix_cache.hit_tokens", "{token}", "Prompt tokens that were not computed again.");

    private readonly Lock _lock = new();
    private EngineMetrics _sums = new();

    public EngineMetrics Sums
    {
        get
        {
            lock (_lock)
            {
                return _sums;
            }
        }
    }

    public void AddStep(int requests, int tokens, TimeSpan time)
    {
        BatchSize.Record(requests);
        lock (_lock)
        {
            _sums = _sums with
            {
                Steps = _sums.Steps + 1,
                StepRequests = _sums.StepRequests + requests,
                StepTokens = _sums.StepTokens + tokens,
                StepTime = _sums.StepTime + time,
            };
        }
    }

    public void AddRefused()
    {
        lock (_lock)
        {
            _sums = _sums with { Refused = _sums.Refused + 1 };
        }
    }

    public void AddEnd(Generation request, FinishReason reason)
    {
        GenerationTimings timings = request.Timings;
        var tags = new System.Diagnostics.TagList
        {
            { "gen_ai.provider.name", "ann_runtime" },
            { "gen_ai.request.model", model },
        };
        Cached.Add(timings.CachedTokens, tags);
        if (request.TimeToFirstToken is { } first)
        {
            FirstToken.Record(first.TotalSeconds, tags);
            if (timings.GeneratedTokens > 1)
            {
                PerToken.Record((request.Age - first).TotalSeconds / (timings.GeneratedTokens - 1), tags);
            }
        }

        if (reason is FinishReason.Failed or FinishReason.Cancelled)
        {
            tags.Add("error.type", reason == FinishReason.Failed ? "failed" : "cancelled");
        }

        Duration.Record(request.Age.TotalSeconds, tags);
        lock (_lock)
        {
            _sums = _sums with
            {
                Requests = _sums.Requests + 1,
                Failed = _sums.Failed + (reason == FinishReason.Failed ? 1 : 0),
                Cancelled = _sums.Cancelled + (reason == FinishReason.Cancelled ? 1 : 0),
                PromptTokens = _sums.PromptTokens + timings.PromptTokens,
                CachedTokens = _sums.CachedTokens + timings.CachedTokens,
                GeneratedTokens = _sums.GeneratedTokens + timings.GeneratedTokens,
                PromptTime = _sums.PromptTime + timings.PromptTime,
                DecodeTime = _sums.DecodeTime + timings.DecodeTime,
            };
        }
    }
}
