using System.Diagnostics;

namespace AnnRuntime;

/// <summary>Embeddings of texts: what a model makes of their tokens, pooled to one vector.</summary>
/// <remarks>
/// Any number of threads may use it. It has a context and a thread of its own. Inputs of all callers share batches, and one
/// that is longer than a batch is computed in several; cells are chosen as the context's search says. An embedding equals
/// the one of the input alone up to the rounding of sums, whose order depends on the batch.
/// </remarks>
public sealed class EmbeddingEngine : IAsyncDisposable
{
    private readonly AnnContext _context;
    private readonly string _name;
    private readonly SearchMode _mode;
    private readonly Lock _lock = new();
    private readonly Queue<EmbeddingJob> _queue = [];
    private readonly List<EmbeddingJob> _active = [];
    private readonly Batch _batch = new();
    private readonly SemaphoreSlim _work = new(0);
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Creates the context and starts the thread.</summary>
    /// <param name="model">The model; the engine does not dispose it.</param>
    /// <param name="options">Default: 8192 cells, 16 inputs at once, the file's pooling or the mean, length 1.</param>
    /// <exception cref="ArgumentException">A value is out of the model's range.</exception>
    /// <exception cref="UnsupportedModelException">A model whose tokens attend to later ones, or that ranks.</exception>
    /// <exception cref="NotEnoughMemoryException">The estimate exceeds the free memory, or an allocation failed.</exception>
    public EmbeddingEngine(AnnModel model, EmbeddingOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Options = options ?? new EmbeddingOptions();
        Model = model;
        Pooling = ReadPooling(model, Options.Pooling);
        _name = Path.GetFileNameWithoutExtension(model.Path);
        _context = model.CreateContext(Options.Context with
        {
            ContextLength = Options.Context.ContextLength ?? Math.Min(model.Info.TrainingLength, EmbeddingOptions.DefaultLength),
            Embeddings = true,
            Pooling = AnnRuntime.Pooling.None,
        });
        _mode = _context.Search.Mode!.Value;
        new Thread(Work) { IsBackground = true, Name = "AnnRuntime embeddings" }.Start();
    }

    /// <summary>The model.</summary>
    public AnnModel Model { get; }

    /// <summary>The options it was created with.</summary>
    public EmbeddingOptions Options { get; }

    /// <summary>How the embeddings of tokens become one.</summary>
    public Pooling Pooling { get; }

    /// <summary>Values of an embedding.</summary>
    public int Dimensions => Model.Info.EmbeddingLength;

    /// <summary>Most tokens of one input.</summary>
    public int SequenceLength => _context.SequenceLength;

    /// <summary>Memory in use.</summary>
    public MemoryEstimate Memory => _context.Memory;

    /// <summary>Embeddings of inputs, in their order.</summary>
    /// <param name="inputs">Tokens of each input, at least one and at most <see cref="SequenceLength"/>.</param>
    /// <param name="dimensions">
    /// First values that are kept (and normalised again). Default null: all. Fewer make sense of models that were trained
    /// for it (Matryoshka).
    /// </param>
    /// <param name="cancellationToken">Stops it between two batches, or sooner when it is alone.</param>
    /// <exception cref="ArgumentException">An input without tokens, an unknown token, dimensions out of range.</exception>
    /// <exception cref="ContextFullException">An input with too many tokens; nothing was computed.</exception>
    /// <exception cref="EngineBusyException">Too many inputs wait.</exception>
    /// <exception cref="ObjectDisposedException">The engine is disposed.</exception>
    public async Task<IReadOnlyList<float[]>> EmbedAsync(
        IReadOnlyList<IReadOnlyList<int>> inputs, int? dimensions = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        if (dimensions < 1 || dimensions > Dimensions)
        {
            throw new ArgumentOutOfRangeException(
                nameof(dimensions), dimensions, $"dimensions is {dimensions}; it must be in 1..{Dimensions}, what the model has.");
        }

        for (int index = 0; index < inputs.Count; index++)
        {
            Check(inputs[index], index);
        }

        long started = Stopwatch.GetTimestamp();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        EmbeddingJob[] jobs = [.. inputs.Select(input => new EmbeddingJob(input, Dimensions, stop.Token))];
        string? error = "failed";
        try
        {
            Enqueue(jobs);
            float[][] whole = await Task.WhenAll(jobs.Select(job => job.Result)).ConfigureAwait(false);
            error = null;
            return [.. whole.Select(values => Finish(values, dimensions ?? Dimensions))];
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            error = "cancelled";
            throw new OperationCanceledException("The embedding was cancelled.", cancellationToken);
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false); // the rest of an input list of which one has failed
            EngineMeter.RecordEmbeddings(
                _name, _mode, Stopwatch.GetElapsedTime(started), inputs.Sum(input => input.Count), error);
        }
    }

    /// <summary>The embedding of one input.</summary>
    /// <inheritdoc cref="EmbedAsync(IReadOnlyList{IReadOnlyList{int}}, int?, CancellationToken)"/>
    /// <param name="input">Its tokens.</param>
    /// <param name="dimensions">First values that are kept. Default null: all.</param>
    /// <param name="cancellationToken">Stops it between two batches, or sooner when it is alone.</param>
    public async Task<float[]> EmbedAsync(
        IReadOnlyList<int> input, int? dimensions = null, CancellationToken cancellationToken = default) =>
        (await EmbedAsync([input], dimensions, cancellationToken).ConfigureAwait(false))[0];

    /// <summary>Fails every input that waits, ends the thread and frees the context.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        _work.Release();
        await _ended.Task.ConfigureAwait(false);
    }

    private static Pooling ReadPooling(AnnModel model, Pooling? chosen)
    {
        IReadOnlyDictionary<string, string> metadata = model.Describe().Metadata;
        string architecture = metadata.GetValueOrDefault("general.architecture", "");
        if (metadata.GetValueOrDefault($"{architecture}.attention.causal") == "false")
        {
            throw new UnsupportedModelException(
                $"The model's tokens attend to later ones ({architecture}.attention.causal is false); embeddings of such models are not computed.");
        }

        return chosen ?? metadata.GetValueOrDefault($"{architecture}.pooling_type") switch
        {
            "2" => Pooling.Cls,
            "3" => Pooling.Last,
            "4" => throw new UnsupportedModelException(
                $"The model ranks ({architecture}.pooling_type is 4) and has no embedding of a text; a pooling must be chosen."),
            _ => Pooling.Mean,
        };
    }

    private void Check(IReadOnlyList<int> input, int index)
    {
        if (input.Count == 0)
        {
            throw new ArgumentException($"Input {index} has no tokens; it needs at least one.", nameof(input));
        }

        if (input.Count > SequenceLength)
        {
            throw new ContextFullException(
                $"Input {index} has {input.Count} tokens, but the context has {SequenceLength} cells. "
                + "Nothing was computed. Shorten the input or create a longer context.");
        }

        if (input.FirstOrDefault(token => token < 0 || token >= Model.Info.VocabularySize, 0) is var wrong and not 0)
        {
            throw new ArgumentException(
                $"Input {index} has the token {wrong}; tokens are 0..{Model.Info.VocabularySize - 1}.", nameof(input));
        }
    }

    private void Enqueue(EmbeddingJob[] jobs)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
            if (_queue.Count + jobs.Length > Options.QueueLimit)
            {
                throw new EngineBusyException(
                    $"{_queue.Count} inputs wait and {jobs.Length} came; the queue takes {Options.QueueLimit}.");
            }

            foreach (EmbeddingJob job in jobs)
            {
                _queue.Enqueue(job);
            }
        }

        _work.Release();
    }

    private float[] Finish(float[] values, int dimensions)
    {
        float[] kept = values[..dimensions];
        double length = Math.Sqrt(kept.Sum(value => (double)value * value));
        return Options.Normalize && length > 0 ? Array.ConvertAll(kept, value => (float)(value / length)) : kept;
    }

    private void Work()
    {
        try
        {
            while (!_stopping.IsCancellationRequested)
            {
                Admit();
                if (_active.Count == 0)
                {
                    _work.Wait();
                    continue;
                }

                Step();
            }
        }
        finally
        {
            var closed = new ObjectDisposedException(nameof(EmbeddingEngine));
            lock (_lock)
            {
                _active.AddRange(_queue);
                _queue.Clear();
            }

            _active.ForEach(job => job.Fail(closed));
            _context.Dispose();
            _ended.SetResult();
        }
    }

    // in order of arrival, as long as a sequence and cells for the whole input are free
    private void Admit()
    {
        lock (_lock)
        {
            while (_queue.TryPeek(out EmbeddingJob? next))
            {
                if (next.Cancellation.IsCancellationRequested)
                {
                    next.Fail(new OperationCanceledException(next.Cancellation));
                }
                else if (_active.Count < _context.Options.MaxSequences
                    && _active.Sum(job => job.Tokens.Count) + next.Tokens.Count <= _context.Cells)
                {
                    next.Sequence = Enumerable.Range(0, _context.Options.MaxSequences)
                        .First(sequence => _active.TrueForAll(job => job.Sequence != sequence));
                    _active.Add(next);
                }
                else
                {
                    return;
                }

                _queue.Dequeue();
            }
        }
    }

    private void Step()
    {
        foreach (EmbeddingJob job in _active.Where(job => job.Cancellation.IsCancellationRequested).ToArray())
        {
            End(job, () => job.Fail(new OperationCanceledException(job.Cancellation)));
        }

        List<(EmbeddingJob Job, int First, int Count)> parts = Fill();
        if (parts.Count == 0)
        {
            return;
        }

        try
        {
            _context.Decode(_batch, parts.Count == 1 ? parts[0].Job.Cancellation : _stopping.Token);
            foreach ((EmbeddingJob job, int first, int count) in parts)
            {
                Pool(job, first, count);
            }
        }
        catch (OperationCanceledException)
        {
            // the batch was removed again; the next step ends what is cancelled
        }
        catch (Exception exception)
        {
            foreach ((EmbeddingJob job, _, _) in parts.Where(part => _active.Contains(part.Job)))
            {
                End(job, () => job.Fail(exception));
            }
        }
    }

    // equal parts of the batch; what short inputs leave of theirs goes to the longer ones
    private List<(EmbeddingJob Job, int First, int Count)> Fill()
    {
        _batch.Clear();
        List<(EmbeddingJob Job, int First, int Count)> parts = [];
        int waiting = _active.Count;
        foreach (EmbeddingJob job in _active.OrderBy(job => job.Tokens.Count - job.Computed))
        {
            int first = _batch.Count;
            int count = Math.Min(job.Tokens.Count - job.Computed, (_context.Options.BatchSize - first) / waiting--);
            for (int index = job.Computed; index < job.Computed + count; index++)
            {
                _batch.Add(job.Tokens[index], index, job.Sequence, job.Wants(index, Pooling));
            }

            if (count > 0)
            {
                parts.Add((job, first, count));
            }
        }

        return parts;
    }

    private void Pool(EmbeddingJob job, int first, int count)
    {
        for (int index = 0; index < count; index++)
        {
            if (job.Wants(job.Computed + index, Pooling))
            {
                job.Add(_context.GetEmbeddings(first + index));
            }
        }

        job.Computed += count;
        if (job.Computed == job.Tokens.Count)
        {
            End(job, () => job.Complete(Pooling));
        }
    }

    private void End(EmbeddingJob job, Action complete)
    {
        _active.Remove(job);
        _context.RemoveSequence(job.Sequence);
        complete();
    }
}
