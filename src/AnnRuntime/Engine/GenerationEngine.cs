namespace AnnRuntime;

/// <summary>Answers many requests at once from one context: continuous batching, prefix reuse, a bounded queue.</summary>
/// <remarks>
/// Any number of threads may use it. One thread of its own does the native work. Prompts are computed in chunks between
/// the tokens of other answers. A request reuses the cells of any earlier one that began with the same tokens. An answer
/// equals the one of an <see cref="AnnSession"/> up to the rounding of sums, whose order depends on the batch.
/// </remarks>
public sealed class GenerationEngine : IAsyncDisposable
{
    /// <summary>The name of its <see cref="System.Diagnostics.Metrics.Meter"/>.</summary>
    public const string MeterName = "AnnRuntime";

    private readonly AnnContext _context;
    private readonly EngineMeter _meter;
    private readonly BatchScheduler _scheduler;
    private readonly SearchOptions _search;
    private readonly Lock _lock = new();
    private readonly LinkedList<Generation> _queue = [];
    private readonly Queue<Action> _jobs = [];
    private readonly SemaphoreSlim _work = new(0);
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IReadOnlyList<SlotStatus> _slots = [];
    private int _taken; // requests that have not ended
    private bool _draining;

    /// <summary>Creates the context and starts the thread.</summary>
    /// <param name="model">The model; the engine does not dispose it.</param>
    /// <param name="options">Default: four sequences in a context of the model's training length.</param>
    /// <exception cref="ArgumentException">A value is out of the model's range.</exception>
    /// <exception cref="NotEnoughMemoryException">The estimate exceeds the free memory, or an allocation failed.</exception>
    public GenerationEngine(AnnModel model, EngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Options = options ?? new EngineOptions();
        Model = model;
        _context = model.CreateContext(Options.Context);
        _search = _context.Search;
        _meter = new EngineMeter(Path.GetFileNameWithoutExtension(model.Path), GetMetrics);
        _scheduler = new BatchScheduler(_context, Options, _meter);
        Publish();
        _meter.Start();
        new Thread(Work) { IsBackground = true, Name = "AnnRuntime engine" }.Start();
    }

    /// <summary>The model.</summary>
    public AnnModel Model { get; }

    /// <summary>The options it was created with.</summary>
    public EngineOptions Options { get; }

    /// <summary>The search of requests that do not choose one; no member is null.</summary>
    public SearchOptions Search => _search;

    /// <summary>Memory in use.</summary>
    public MemoryEstimate Memory => _context.Memory;

    /// <summary>Most tokens that prompt and answer of one request can have together.</summary>
    public int SequenceLength => _context.SequenceLength;

    /// <summary>The sequences, as they were after the last step.</summary>
    public IReadOnlyList<SlotStatus> Slots => Volatile.Read(ref _slots);

    /// <summary>Whether new requests are refused (<see cref="DrainAsync"/>, <see cref="DisposeAsync"/>).</summary>
    public bool IsDraining => Volatile.Read(ref _draining);

    /// <summary>For tests: called on the engine's thread before each batch with its search; what it throws, the batch fails with.</summary>
    internal Action<SearchChoice>? BeforeDecode
    {
        get => _scheduler.BeforeDecode;
        set => _scheduler.BeforeDecode = value;
    }

    /// <summary>Takes a request. It starts as soon as a sequence and enough cells are free.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Stops it between two ubatches, or sooner when it is alone.</param>
    /// <exception cref="ArgumentException">The prompt is empty, a grammar cannot be parsed, a value is out of range.</exception>
    /// <exception cref="ContextFullException">The prompt has more tokens than a sequence can have cells.</exception>
    /// <exception cref="UnsupportedModelException">Search off would be entered or left.</exception>
    /// <exception cref="EngineBusyException">The queue is full, or the engine is draining.</exception>
    public Generation Submit(GenerationRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Prompt.Count == 0)
        {
            throw new ArgumentException("The prompt is empty; it needs at least one token.", nameof(request));
        }

        if (request.Prompt.Count > SequenceLength)
        {
            throw new ContextFullException(
                $"The prompt has {request.Prompt.Count} tokens, but the context has {SequenceLength} cells per sequence. "
                + "Nothing was computed. Shorten the prompt or create a longer context.");
        }

        if (request.Prompt.FirstOrDefault(token => token < 0 || token >= Model.Info.VocabularySize, 0) is var wrong and not 0)
        {
            throw new ArgumentException(
                $"The prompt has the token {wrong}; tokens are 0..{Model.Info.VocabularySize - 1}.", nameof(request));
        }

        var generation = new Generation(Model, request, Choose(request), cancellationToken);
        lock (_lock)
        {
            if (_draining || _taken >= Options.Context.MaxSequences + Options.QueueLimit)
            {
                generation.Release();
                _meter.AddRefused();
                throw new EngineBusyException(_draining
                    ? "The engine is shutting down and takes no more requests."
                    : $"{_taken - _queue.Count} requests are computed and {_queue.Count} wait; the queue takes {Options.QueueLimit}.")
                {
                    IsDraining = _draining,
                };
            }

            _taken++;
            generation.Ended = Leave;
            _queue.AddLast(generation);
        }

        _work.Release();
        return generation;
    }

    /// <summary>Generates a whole answer.</summary>
    /// <inheritdoc cref="Submit"/>
    public Task<GenerationResult> CompleteAsync(GenerationRequest request, CancellationToken cancellationToken = default) =>
        Submit(request, cancellationToken).Result;

    /// <summary>What was done so far.</summary>
    public EngineMetrics GetMetrics()
    {
        IReadOnlyList<SlotStatus> slots = Slots;
        lock (_lock)
        {
            return _meter.Sums with
            {
                Running = Math.Max(0, _taken - _queue.Count),
                Queued = _queue.Count,
                CellsUsed = slots.Sum(slot => slot.CachedTokens),
                Cells = _context.Cells,
            };
        }
    }

    /// <summary>Refuses new requests and waits until those that were taken have ended.</summary>
    /// <param name="cancellationToken">Ends the waiting.</param>
    public async Task DrainAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            _draining = true;
        }

        while (true)
        {
            lock (_lock)
            {
                if (_taken == 0)
                {
                    return;
                }
            }

            await Task.Delay(20, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Computes a few tokens and forgets them, so that the first request does not wait for memory to be touched.</summary>
    /// <param name="cancellationToken">Ends the waiting for the engine.</param>
    public Task WarmUpAsync(CancellationToken cancellationToken = default) => RunBetweenStepsAsync(_scheduler.WarmUp, cancellationToken);

    /// <summary>Writes the cells of a prompt to a file, from which another engine of the model takes them up.</summary>
    /// <param name="prompt">Tokens that a request has computed before; what is not held is not written.</param>
    /// <param name="path">The file; it appears whole or not at all.</param>
    /// <param name="cancellationToken">Ends the waiting for the engine.</param>
    /// <returns>Tokens written.</returns>
    /// <exception cref="InvalidOperationException">The engine holds nothing of the prompt.</exception>
    public Task<int> SavePrefixAsync(IReadOnlyList<int> prompt, string path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentException.ThrowIfNullOrEmpty(path);
        return RunBetweenStepsAsync(() => PrefixFile.Save(_context, _scheduler.Slots, prompt, path), cancellationToken);
    }

    /// <summary>Takes the cells of a file up; requests that begin with its tokens reuse them.</summary>
    /// <param name="path">What <see cref="SavePrefixAsync"/> wrote.</param>
    /// <param name="cancellationToken">Ends the waiting for the engine.</param>
    /// <returns>The tokens.</returns>
    /// <exception cref="StateException">Damaged, of another model file, or of other cache types.</exception>
    /// <exception cref="EngineBusyException">Every sequence serves a request, or their cells leave no room.</exception>
    public Task<IReadOnlyList<int>> RestorePrefixAsync(string path, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return RunBetweenStepsAsync(() => PrefixFile.Restore(_context, _scheduler.Slots, path), cancellationToken);
    }

    /// <summary>Cancels every request, ends the thread and frees the context.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _draining = true;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        _work.Release();
        await _ended.Task.ConfigureAwait(false);
    }

    private void Leave()
    {
        lock (_lock)
        {
            _taken--;
        }
    }

    private SearchChoice Choose(GenerationRequest request)
    {
        SearchMode mode = request.Mode ?? _search.Mode!.Value;
        if (mode == SearchMode.Off != (_search.Mode == SearchMode.Off))
        {
            throw new UnsupportedModelException(_search.Mode == SearchMode.Off
                ? $"The engine runs with search off and keeps no search keys; the mode cannot become {mode}."
                : "The engine keeps search keys; the mode cannot become off. Dense attends to all cells too.");
        }

        if (request.Observe && _search.Mode == SearchMode.Off)
        {
            throw new UnsupportedModelException("The engine runs with search off: there is no retrieval to observe.");
        }

        int always = (_search.Sinks ?? 0) + (_search.Window ?? 0);
        if (mode is not (SearchMode.Off or SearchMode.Dense) && request.TopK < always)
        {
            throw new ArgumentException(
                $"TopK is {request.TopK}; it must be at least {always}, since it counts the sinks and the window.", nameof(request));
        }

        return BatchScheduler.Choice(_search, mode, request.TopK);
    }

    private async Task<T> RunBetweenStepsAsync<T>(Func<T> job, CancellationToken cancellationToken)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
            _jobs.Enqueue(() =>
            {
                try
                {
                    done.TrySetResult(job());
                }
                catch (Exception exception)
                {
                    done.TrySetException(exception);
                }
            });
        }

        _work.Release();
        return await done.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private void Work()
    {
        try
        {
            while (!_stopping.IsCancellationRequested)
            {
                RunJobs();
                Publish();
                Admit();
                if (!_scheduler.Step(_stopping.Token))
                {
                    Publish(); // the step may have ended what was cancelled
                    _work.Wait();
                }
            }
        }
        finally
        {
            Close();
        }
    }

    private void RunJobs()
    {
        while (true)
        {
            Action? job;
            lock (_lock)
            {
                if (!_jobs.TryDequeue(out job))
                {
                    return;
                }
            }

            job();
        }
    }

    // a request that was cancelled must not take a place in the queue until its turn comes
    private void EndCancelledWaiting()
    {
        Generation[] cancelled;
        lock (_lock)
        {
            cancelled = [.. _queue.Where(request => request.Cancellation.IsCancellationRequested)];
            foreach (Generation request in cancelled)
            {
                _queue.Remove(request);
            }
        }

        foreach (Generation request in cancelled)
        {
            _meter.AddEnd(request, FinishReason.Cancelled);
            request.End(FinishReason.Cancelled);
        }
    }

    // in order of arrival: a request that does not fit yet holds back those behind it, so that none starves
    private void Admit()
    {
        EndCancelledWaiting();
        while (true)
        {
            Generation? next;
            lock (_lock)
            {
                next = _queue.First?.Value;
                if (next is null)
                {
                    return;
                }
            }

            try
            {
                if (!_scheduler.TryAdmit(next))
                {
                    return;
                }
            }
            catch (Exception exception)
            {
                _meter.AddEnd(next, FinishReason.Failed);
                next.End(FinishReason.Failed, exception);
            }

            lock (_lock)
            {
                _queue.Remove(next);
            }
        }
    }

    private void Publish() => Volatile.Write(ref _slots,
    [
        .. _scheduler.Slots.All.Select(slot => new SlotStatus(
            slot.Sequence, slot.Request is not null, slot.History.Count, slot.Pending.Count,
            slot.Request?.Answer.Tokens.Count ?? 0, slot.Choice.Mode, slot.Choice.TopK)),
    ]);

    private void Close()
    {
        var closed = new ObjectDisposedException(nameof(GenerationEngine));
        _scheduler.EndAll(closed);
        Generation[] waiting;
        lock (_lock)
        {
            waiting = [.. _queue];
            _queue.Clear();
        }

        foreach (Generation request in waiting)
        {
            request.End(FinishReason.Failed, closed);
        }

        RunJobs();
        _meter.Dispose();
        _context.Dispose();
        Publish();
        _ended.SetResult();
    }
}
