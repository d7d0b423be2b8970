using System.Diagnostics.Metrics;
using Xunit;

namespace AnnRuntime.Tests.Engine;

/// <summary>What OpenTelemetry gets: the names of its conventions, and ours.</summary>
public sealed class EngineMeterTests(ModelFixture fixture) : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly List<(string Name, double Value, Dictionary<string, object?> Tags)> _measured = [];

    [Fact]
    public async Task A_request_has_the_conventions_figures_and_tags()
    {
        await using GenerationEngine engine = Start(new EngineOptions { Context = Small });
        await engine.CompleteAsync(Request(8) with { Operation = "chat", Mode = SearchMode.Dense });

        foreach (string name in (string[])["request.duration", "time_to_first_token", "time_per_output_token"])
        {
            (_, double value, Dictionary<string, object?> tags) = Assert.Single(Named($"gen_ai.server.{name}"));
            Assert.InRange(value, 1e-6, 600);
            Assert.Equal("chat", tags["gen_ai.operation.name"]);
            Assert.Equal("ann_runtime", tags["gen_ai.provider.name"]);
            Assert.Equal("ann-rotated-d64-q8_0", tags["gen_ai.request.model"]);
            Assert.Equal("dense", tags["ann_runtime.search.mode"]);
            Assert.False(tags.ContainsKey("error.type"));
        }

        Assert.Equal([("input", 300.0), ("output", 8.0)],
            Named("ann_runtime.tokens").Select(one => ((string)one.Tags["gen_ai.token.type"]!, one.Value)));
        Assert.Equal(engine.GetMetrics().Steps, Named("ann_runtime.decode.batch_size").Count);
        Assert.Empty(Named("ann_runtime.search.mass"));

        await engine.CompleteAsync(Request(1) with { Mode = SearchMode.Dense });
        Assert.Equal([0.0, 299.0], Named("ann_runtime.prefix_cache.hit_tokens").Select(one => one.Value));
    }

    [Fact]
    public async Task Cancelled_and_refused_requests_say_so()
    {
        await using GenerationEngine engine = Start(new EngineOptions { Context = Small, QueueLimit = 0 });
        using AnnRuntime.Generation endless = engine.Submit(Request(400));
        await endless.GetAsyncEnumerator().MoveNextAsync();
        AnnRuntime.Generation second = engine.Submit(Request(400));
        Assert.Throws<EngineBusyException>(() => engine.Submit(Request(1)));
        Assert.Single(Named("ann_runtime.requests.refused"));

        _listener.RecordObservableInstruments();
        Assert.Equal(2, Named("ann_runtime.requests.active").Last().Value + Named("ann_runtime.requests.queued").Last().Value);
        Assert.Equal(1024, Named("ann_runtime.kv.cells.size").Last().Value);

        endless.Cancel();
        second.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => endless.Result);
        Assert.Equal("cancelled", Named("gen_ai.server.request.duration").First().Tags["error.type"]);
    }

    [Fact]
    public async Task Every_nth_step_of_generation_is_measured_and_changes_nothing()
    {
        await using GenerationEngine plain = Start(new EngineOptions { Context = Small });
        IReadOnlyList<int> expected = (await plain.CompleteAsync(Request(12))).Tokens;
        Assert.Equal(0, plain.GetMetrics().MeasuredSteps);

        await using GenerationEngine engine = Start(new EngineOptions { Context = Small, MeasureEvery = 4 });
        Assert.Equal(expected, (await engine.CompleteAsync(Request(12))).Tokens);

        // the prompt gives the first token; 11 steps generate, of which 0, 4 and 8 are measured
        EngineMetrics metrics = engine.GetMetrics();
        Assert.Equal(3, metrics.MeasuredSteps);
        Assert.Equal(3, Named("ann_runtime.search.mass").Count);
        Assert.Equal([301.0, 305.0, 309.0], Named("ann_runtime.search.cells_visible").Select(one => one.Value));
        Assert.All(Named("ann_runtime.search.cells_visited"), one => Assert.Equal(40, one.Value));
        Assert.All(Named("ann_runtime.search.recall_teacher"), one => Assert.InRange(one.Value, 0.01, 1));
        Assert.InRange(metrics.MassSum, 0.01, 3);
        Assert.Empty(Named("ann_runtime.search.recall_index"));
    }

    [Fact]
    public async Task The_gauges_of_an_engine_go_with_it()
    {
        await using (GenerationEngine engine = Start(new EngineOptions { Context = Small }))
        {
            _listener.RecordObservableInstruments();
            Assert.NotEmpty(Named("ann_runtime.kv.cells.used"));
        }

        _measured.Clear();
        _listener.RecordObservableInstruments();
        Assert.Empty(Named("ann_runtime.kv.cells.used"));
    }

    public void Dispose() => _listener.Dispose();

    private static ContextOptions Small => new()
    {
        ContextLength = 1024,
        UbatchSize = 128,
        MaxSequences = 2,
        Search = new SearchOptions { Mode = SearchMode.Exact, TopK = 40 },
    };

    private GenerationRequest Request(int tokens) => new()
    {
        Prompt = fixture.Prose(300),
        Options = new GenerationOptions { MaxTokens = tokens, IgnoreEndOfGeneration = true, Sampling = SamplingOptions.Greedy },
    };

    private GenerationEngine Start(EngineOptions options)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == GenerationEngine.MeterName)
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Keep(instrument, value, tags));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Keep(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Keep(instrument, value, tags));
        _listener.Start();
        return new GenerationEngine(fixture.Model, options);
    }

    private void Keep(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        lock (_measured)
        {
            _measured.Add((instrument.Name, value, tags.ToArray().ToDictionary()));
        }
    }

    private List<(string Name, double Value, Dictionary<string, object?> Tags)> Named(string name)
    {
        lock (_measured)
        {
            return [.. _measured.Where(one => one.Name == name)];
        }
    }
}
