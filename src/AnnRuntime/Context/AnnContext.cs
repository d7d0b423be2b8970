using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>A K/V cache with search keys, and the decode that fills it.</summary>
/// <remarks>
/// Belongs to one thread at a time: a second thread inside it gets an <see cref="InvalidOperationException"/>. Only
/// <see cref="Abort"/> and <see cref="Dispose"/> may be called from any thread. The model may be disposed before its
/// contexts. Every method throws <see cref="ObjectDisposedException"/> after <see cref="Dispose"/>.
/// </remarks>
public sealed partial class AnnContext : IDisposable
{
    private readonly ContextHandle _handle;
    private readonly Lazy<ContextWorker> _worker = new(() => new ContextWorker());

    internal AnnContext(AnnModel model, ContextOptions options)
    {
        Model = model;
        Options = options;
        _handle = ContextHandle.Create(model.Handle, options.ToNative(), options.LayerArray);
        Memory = MemoryEstimate.FromNative(_handle.GetMemory());
        SequenceLength = options.UnifiedCache ? Memory.Cells : Memory.Cells / options.MaxSequences;
    }

    /// <summary>The model.</summary>
    public AnnModel Model { get; }

    /// <summary>The options it was created with.</summary>
    public ContextOptions Options { get; }

    /// <summary>Memory in use after creation.</summary>
    public MemoryEstimate Memory { get; }

    /// <summary>Cells in all, after rounding.</summary>
    public int Cells => Memory.Cells;

    /// <summary>Most cells that one sequence can have.</summary>
    public int SequenceLength { get; }

    /// <summary>The search as resolved: no member is null. Setting it takes effect with the next decode.</summary>
    /// <exception cref="ArgumentException">A value is out of the model's range, or a layer has no projections.</exception>
    /// <exception cref="UnsupportedModelException">Off would be entered or left: it has no search keys.</exception>
    public SearchOptions Search
    {
        get
        {
            AnnSearchParams native = Handle.GetSearch(out int[] layers);
            return SearchOptions.FromNative(in native, layers);
        }

        set
        {
            ArgumentNullException.ThrowIfNull(value);
            Handle.SetSearch(value.ToNative(), value.Layers?.ToArray());
        }
    }

    /// <summary>The handle, or an exception after <see cref="Dispose"/>.</summary>
    internal ContextHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            return _handle;
        }
    }

    /// <summary>The thread that sessions compute on.</summary>
    internal ContextWorker Worker
    {
        get
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            return _worker.Value;
        }
    }

    /// <summary>Whether <see cref="Dispose"/> was called.</summary>
    internal bool IsDisposed => _handle.IsClosed;

    /// <summary>Appends tokens to sequence 0 and computes the logits of the last one.</summary>
    /// <param name="tokens">1 to <see cref="ContextOptions.BatchSize"/> tokens.</param>
    /// <param name="cancellationToken">Stops the computation at its next node; the tokens are then removed again.</param>
    /// <exception cref="ArgumentException">No tokens, too many, or one that is not in the vocabulary.</exception>
    /// <exception cref="ContextFullException">No free cells; nothing was stored.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or <see cref="Abort"/> was called.</exception>
    /// <exception cref="InvalidOperationException">Another thread is inside this context.</exception>
    public void Decode(ReadOnlySpan<int> tokens, CancellationToken cancellationToken = default)
    {
        ThrowIfWrongLength(tokens.Length);
        Handle.Decode(tokens, default, default, default, cancellationToken);
    }

    /// <summary>Appends tokens to one sequence and computes the logits of the last one, or of none.</summary>
    /// <inheritdoc cref="Decode(ReadOnlySpan{int}, CancellationToken)"/>
    /// <param name="tokens">1 to <see cref="ContextOptions.BatchSize"/> tokens.</param>
    /// <param name="sequence">0 to <see cref="ContextOptions.MaxSequences"/> - 1.</param>
    /// <param name="cancellationToken">Stops the computation at its next node; the tokens are then removed again.</param>
    public void Decode(ReadOnlySpan<int> tokens, int sequence, CancellationToken cancellationToken = default)
    {
        ThrowIfWrongLength(tokens.Length);
        int[] sequences = new int[tokens.Length];
        Array.Fill(sequences, sequence);
        Handle.Decode(tokens, default, sequences, default, cancellationToken);
    }

    /// <summary>Computes a batch of one or several sequences.</summary>
    /// <inheritdoc cref="Decode(ReadOnlySpan{int}, CancellationToken)"/>
    /// <param name="batch">1 to <see cref="ContextOptions.BatchSize"/> tokens.</param>
    /// <param name="cancellationToken">Stops the computation at its next node; the tokens are then removed again.</param>
    public void Decode(Batch batch, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(batch);
        ThrowIfWrongLength(batch.Count);
        Handle.Decode(batch.Tokens, batch.Positions, batch.Sequences, batch.Outputs, cancellationToken);
    }

    /// <summary>Makes a running decode throw <see cref="OperationCanceledException"/>. Any thread.</summary>
    /// <remarks>A later decode is not affected.</remarks>
    public void Abort() => Handle.Abort();

    /// <summary>Logits of one token of the last batch, one value per token of the vocabulary.</summary>
    /// <param name="index">Index in the batch; its logits must have been asked for. Default -1: the last output.</param>
    /// <returns>Memory of the context: valid until the next decode or <see cref="Dispose"/>. Copy it to keep it.</returns>
    /// <exception cref="ArgumentException">No logits were computed for this index.</exception>
    public ReadOnlySpan<float> GetLogits(int index = -1) => Handle.GetLogits(index);

    /// <summary>
    /// Embedding of one token of the last batch, or with a pooling of its sequence; the context needs
    /// <see cref="ContextOptions.Embeddings"/>. Not normalised.
    /// </summary>
    /// <param name="index">Index in the batch. Default -1: the last output.</param>
    /// <returns>Memory of the context: valid until the next decode or <see cref="Dispose"/>. Copy it to keep it.</returns>
    /// <exception cref="ArgumentException">No embedding was computed for this index.</exception>
    public ReadOnlySpan<float> GetEmbeddings(int index = -1) => Handle.GetEmbeddings(index);

    /// <summary>Changes the number of threads.</summary>
    /// <param name="threads">Threads of decode; 0: physical cores.</param>
    /// <param name="batchThreads">Threads of prefill; 0: as <paramref name="threads"/>.</param>
    /// <exception cref="ArgumentException">Negative.</exception>
    public void SetThreads(int threads, int batchThreads = 0) => Handle.SetThreads(threads, batchThreads);

    /// <summary>Frees the caches. A running decode of another thread ends first, with a cancellation.</summary>
    public void Dispose()
    {
        if (_handle.IsClosed)
        {
            return;
        }

        _handle.Abort();
        _handle.Dispose();
        if (_worker.IsValueCreated)
        {
            _worker.Value.Dispose();
        }
    }

    private void ThrowIfWrongLength(int count)
    {
        if (count < 1 || count > Options.BatchSize)
        {
            throw new ArgumentException(
                $"The batch has {count} tokens; one decode takes 1 to {Options.BatchSize} (BatchSize).", "tokens");
        }
    }
}
