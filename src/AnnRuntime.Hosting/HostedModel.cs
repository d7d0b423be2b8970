using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace AnnRuntime.Hosting;

/// <summary>A model and its engine in a host: loaded and warm before the host has started, drained when it stops.</summary>
internal sealed class HostedModel(string name, IOptionsMonitor<AnnRuntimeOptions> options, ILoggerFactory loggers)
    : IHostedLifecycleService, IAsyncDisposable, IDisposable
{
    private static readonly TimeSpan BetweenReports = TimeSpan.FromSeconds(2);

    private readonly ILogger _logger = loggers.CreateLogger("AnnRuntime.Hosting");
    private readonly Lock _lock = new();
    private Task<GenerationEngine>? _loading;
    private AnnModel? _model;
    private int _percent;
    private bool _logs; // messages of the native library come here

    /// <summary>The engine; one that is not loaded yet is loaded on a thread of its own, and the caller waits.</summary>
    public GenerationEngine Engine => EngineAsync(CancellationToken.None).GetAwaiter().GetResult();

    /// <summary>The engine, or null before it is there.</summary>
    public GenerationEngine? Loaded => _loading is { IsCompletedSuccessfully: true } done ? done.Result : null;

    /// <summary>Why it could not be loaded, null otherwise.</summary>
    public Exception? Failure => _loading?.Exception?.InnerException;

    /// <summary>How much is loaded, 0 to 100.</summary>
    public int Percent => Volatile.Read(ref _percent);

    public Task StartingAsync(CancellationToken cancellationToken) => EngineAsync(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        if (Loaded is not { } engine)
        {
            return;
        }

        TimeSpan limit = options.Get(name).DrainTimeout;
        EngineMetrics before = engine.GetMetrics();
        if (before.Running + before.Queued > 0)
        {
            _logger.Draining(name, limit.TotalSeconds, before.Running, before.Queued);
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        stop.CancelAfter(limit);
        try
        {
            await engine.DrainAsync(stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            EngineMetrics left = engine.GetMetrics();
            _logger.CutOff(name, left.Running + left.Queued);
            await engine.DisposeAsync().ConfigureAwait(false);
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    public async ValueTask DisposeAsync()
    {
        if (Loaded is { } engine)
        {
            await engine.DisposeAsync().ConfigureAwait(false);
        }

        _model?.Dispose();
        if (Interlocked.Exchange(ref _logs, false))
        {
            await AnnLog.FlushAsync().ConfigureAwait(false); // the logger goes with the host
        }
    }

    private Task<GenerationEngine> EngineAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            return _loading ??= Task.Run(() => LoadAsync(cancellationToken), CancellationToken.None);
        }
    }

    private async Task<GenerationEngine> LoadAsync(CancellationToken cancellationToken)
    {
        AnnRuntimeOptions chosen = options.Get(name);
        long started = Stopwatch.GetTimestamp();
        try
        {
            AnnLog.Use(loggers.CreateLogger("AnnRuntime.Native"));
            _logs = true;
            _logger.Loading(name, chosen.ModelPath!);
            _model = await AnnModel
                .LoadAsync(chosen.ModelPath!, chosen.ToModelOptions(), new Report(this, started), cancellationToken)
                .ConfigureAwait(false);
            return await StartAsync(_model, chosen, started, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            _logger.Failed(name, exception);
            throw;
        }
    }

    private async Task<GenerationEngine> StartAsync(
        AnnModel model, AnnRuntimeOptions chosen, long started, CancellationToken cancellationToken)
    {
        var engine = new GenerationEngine(model, chosen.ToEngineOptions());
        try
        {
            _logger.Loaded(
                name, Stopwatch.GetElapsedTime(started).TotalSeconds, engine.Memory.Cells, chosen.MaxSequences,
                engine.Search.Mode, engine.Search.TopK, engine.Memory.TotalBytes >> 20);
            if (chosen.WarmUp)
            {
                await engine.WarmUpAsync(cancellationToken).ConfigureAwait(false);
                _logger.Warm(name, Stopwatch.GetElapsedTime(started).TotalSeconds);
            }

            return engine;
        }
        catch
        {
            await engine.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private sealed class Report(HostedModel hosted, long started) : IProgress<float>
    {
        private TimeSpan _next = BetweenReports;

        void IProgress<float>.Report(float value)
        {
            int percent = (int)(100 * value);
            Volatile.Write(ref hosted._percent, percent);
            TimeSpan age = Stopwatch.GetElapsedTime(started);
            if (age >= _next)
            {
                _next = age + BetweenReports;
                hosted._logger.Progress(hosted.Name, percent, age.TotalSeconds);
            }
        }
    }

    /// <summary>The key of its services.</summary>
    public string Name => name;
}
