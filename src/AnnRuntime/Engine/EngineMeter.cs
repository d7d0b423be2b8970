using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace AnnRuntime;

/// <summary>Counts what an engine does: for <see cref="GenerationEngine.GetMetrics"/> and for OpenTelemetry.</summary>
internal sealed class EngineMeter : IDisposable
{
    private static readonly Meter Meter = new(GenerationEngine.MeterName);

    // names, units and bounds of OpenTelemetry's conventions for generative AI
    private static readonly Histogram<double> Duration = Seconds(
        "gen_ai.server.request.duration", "Time from a request to its end.",
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92);
    private static readonly Histogram<double> FirstToken = Seconds(
        "gen_ai.server.time_to_first_token", "Time from a request to its first token.",
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10);
    private static readonly Histogram<double> PerToken = Seconds(
        "gen_ai.server.time_per_output_token", "Time of a token after the first.",
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5);
    private static readonly Histogram<int> BatchSize =
        Meter.CreateHistogram<int>("ann_runtime.decode.batch_size", "{request}", "Requests in one step.");
    private static readonly Counter<long> Tokens =
        Meter.CreateCounter<long>("ann_runtime.tokens", "{token}", "Tokens of prompts and answers of requests that have ended.");
    private static readonly Counter<long> Cached =
        Meter.CreateCounter<long>("ann_runtime.prefix_cache.hit_tokens", "{token}", "Prompt tokens that were not computed again.");
    private static readonly Counter<long> Refused =
        Meter.CreateCounter<long>("ann_runtime.requests.refused", "{request}", "Requests refused by a full queue.");

    // of measured steps (EngineOptions.MeasureEvery)
    private static readonly Histogram<double> Visible =
        Meter.CreateHistogram<double>("ann_runtime.search.cells_visible", "{cell}", "Cells that a searching query could attend to.");
    private static readonly Histogram<double> Attended =
        Meter.CreateHistogram<double>("ann_runtime.search.cells_visited", "{cell}", "Cells that a searching query attended to.");
    private static readonly Histogram<double> Mass =
        Share("ann_runtime.search.mass", "Share of the full attention's mass on the cells attended to.");
    private static readonly Histogram<double> TeacherRecall =
        Share("ann_runtime.search.recall_teacher", "Share of the full attention's top-k among the cells attended to.");
    private static readonly Histogram<double> IndexRecall =
        Share("ann_runtime.search.recall_index", "Share of the exact search's cells that the index found.");

    private static readonly List<EngineMeter> Live = [];

    private readonly Lock _lock = new();
    private readonly string _model;
    private readonly Func<EngineMetrics> _now;
    private EngineMetrics _sums = new();

    static EngineMeter()
    {
        Gauge("ann_runtime.requests.active", "{request}", "Requests that are computed.", metrics => metrics.Running);
        Gauge("ann_runtime.requests.queued", "{request}", "Requests that wait.", metrics => metrics.Queued);
        Gauge("ann_runtime.kv.cells.used", "{cell}", "Cells in use; shared ones count for each sequence.", metrics => metrics.CellsUsed);
        Gauge("ann_runtime.kv.cells.size", "{cell}", "Cells of the context.", metrics => metrics.Cells);
    }

    /// <param name="model">The model's name.</param>
    /// <param name="now">The engine's metrics, for what is asked and not counted.</param>
    public EngineMeter(string model, Func<EngineMetrics> now) => (_model, _now) = (model, now);

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

    /// <summary>The engine is whole; its gauges come.</summary>
    public void Start()
    {
        lock (Live)
        {
            Live.Add(this);
        }
    }

    /// <summary>The engine has ended; its gauges go.</summary>
    public void Dispose()
    {
        lock (Live)
        {
            Live.Remove(this);
        }
    }

    public void AddStep(int requests, int tokens, TimeSpan time)
    {
        BatchSize.Record(requests, Model());
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

    /// <summary>Adds a step whose search was measured; one that attended to all cells says nothing.</summary>
    public void AddSearch(RetrievalStatistics statistics, SearchMode mode)
    {
        if (statistics is not { Visible: { } visible, Attended: { } attended, Mass: { } mass, TeacherRecall: { } recall })
        {
            return;
        }

        TagList tags = Model();
        tags.Add("ann_runtime.search.mode", Name(mode));
        double? index = mode == SearchMode.Hnsw ? statistics.IndexRecall : null;
        Visible.Record(visible, tags);
        Attended.Record(attended, tags);
        Mass.Record(mass, tags);
        TeacherRecall.Record(recall, tags);
        if (index is { } found)
        {
            IndexRecall.Record(found, tags);
        }

        lock (_lock)
        {
            _sums = _sums with
            {
                MeasuredSteps = _sums.MeasuredSteps + 1,
                VisibleSum = _sums.VisibleSum + visible,
                VisitedSum = _sums.VisitedSum + attended,
                MassSum = _sums.MassSum + mass,
                TeacherRecallSum = _sums.TeacherRecallSum + recall,
                IndexMeasuredSteps = _sums.IndexMeasuredSteps + (index is null ? 0 : 1),
                IndexRecallSum = _sums.IndexRecallSum + (index ?? 0),
            };
        }
    }

    public void AddRefused()
    {
        Refused.Add(1, Model());
        lock (_lock)
        {
            _sums = _sums with { Refused = _sums.Refused + 1 };
        }
    }

    public void AddEnd(Generation request, FinishReason reason)
    {
        GenerationTimings timings = request.Timings;
        Record(request, timings, reason);
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

    /// <summary>Records a call of an embedding engine.</summary>
    /// <param name="model">The model's name.</param>
    /// <param name="mode">Its search.</param>
    /// <param name="time">From the call to its end.</param>
    /// <param name="tokens">Of its inputs.</param>
    /// <param name="error">Null: it succeeded.</param>
    public static void RecordEmbeddings(string model, SearchMode mode, TimeSpan time, int tokens, string? error)
    {
        TagList tags = Request(model, "embeddings", mode);
        Count(tokens, "input", tags);
        if (error is not null)
        {
            tags.Add("error.type", error);
        }

        Duration.Record(time.TotalSeconds, tags);
    }

    private void Record(Generation request, GenerationTimings timings, FinishReason reason)
    {
        TagList tags = Request(_model, request.Request.Operation, request.Choice.Mode);
        Cached.Add(timings.CachedTokens, tags);
        Count(timings.PromptTokens, "input", tags);
        Count(timings.GeneratedTokens, "output", tags);
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
            tags.Add("error.type", Name(reason));
        }

        Duration.Record(request.Age.TotalSeconds, tags);
    }

    private static void Count(int tokens, string type, TagList tags)
    {
        tags.Add("gen_ai.token.type", type);
        Tokens.Add(tokens, tags);
    }

    private TagList Model() => new() { { "gen_ai.provider.name", "ann_runtime" }, { "gen_ai.request.model", _model } };

    private static TagList Request(string model, string operation, SearchMode mode) => new()
    {
        { "gen_ai.provider.name", "ann_runtime" },
        { "gen_ai.request.model", model },
        { "gen_ai.response.model", model },
        { "gen_ai.operation.name", operation },
        { "ann_runtime.search.mode", Name(mode) },
    };

    private static string Name<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();

    private static Histogram<double> Seconds(string name, string description, params double[] bounds) => Meter.CreateHistogram(
        name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });

    private static Histogram<double> Share(string name, string description) => Meter.CreateHistogram(
        name, "1", description, tags: null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99] });

    private static void Gauge(string name, string unit, string description, Func<EngineMetrics, int> value) =>
        Meter.CreateObservableUpDownCounter(name, () => Observe(value), unit, description);

    private static Measurement<int>[] Observe(Func<EngineMetrics, int> value)
    {
        EngineMeter[] live;
        lock (Live)
        {
            live = [.. Live];
        }

        return [.. live.Select(meter => new Measurement<int>(value(meter._now()), meter.Model()))];
    }
}
