using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace AnnRuntime;

/// <summary>One sequence of a context that prompts are given to and answers are read from.</summary>
/// <remarks>
/// Native work runs on one thread per context, so several sessions of a context take turns, generation by generation.
/// While one generates, the context must not be used directly. A session runs one generation at a time.
/// </remarks>
public sealed class AnnSession : IAsyncDisposable
{
    /// <summary>Tokens that the worker may be ahead of its reader.</summary>
    private const int ReadAhead = 64;

    private readonly List<int> _history = [];
    private readonly CancellationTokenSource _disposing = new();
    private Task _job = Task.CompletedTask;
    private int _running;
    private bool _disposed;

    /// <summary>Takes a sequence of a context. Its cells are removed by the first prompt.</summary>
    /// <param name="context">The context; the session does not dispose it.</param>
    /// <param name="sequence">Default 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">The context has no such sequence.</exception>
    public AnnSession(AnnContext context, int sequence = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (sequence < 0 || sequence >= context.Options.MaxSequences)
        {
            throw new ArgumentOutOfRangeException(
                nameof(sequence), sequence,
                $"The sequence is {sequence}; this context has sequences 0..{context.Options.MaxSequences - 1}.");
        }

        Context = context;
        Sequence = sequence;
    }

    /// <summary>The context.</summary>
    public AnnContext Context { get; }

    /// <summary>The sequence.</summary>
    public int Sequence { get; }

    /// <summary>The last generation, also a cancelled one; null before the first has ended.</summary>
    public GenerationResult? LastResult { get; private set; }

    /// <summary>Generates an answer to a text.</summary>
    /// <param name="prompt">The whole text so far; cells that it shares with the previous one are reused.</param>
    /// <param name="options">Default: up to 256 tokens at temperature 0.8.</param>
    /// <param name="progress">Told after each chunk of the prompt, on the worker thread.</param>
    /// <param name="cancellationToken">Stops prompt and answer within one node of the graph.</param>
    /// <returns>Tokens as they come. Nothing is computed before the first is asked for.</returns>
    /// <exception cref="ArgumentException">The prompt is empty or no valid Unicode.</exception>
    /// <exception cref="ContextFullException">The prompt has more tokens than the sequence can have cells.</exception>
    /// <exception cref="InvalidOperationException">This session is generating, or the context is in use.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session, the context or the model is disposed.</exception>
    public IAsyncEnumerable<GeneratedToken> GenerateAsync(
        string prompt, GenerationOptions? options = null, IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ThrowIfDisposed();
        options ??= new GenerationOptions();
        int[] tokens = Context.Model.Tokenizer.Tokenize(prompt, options.AddSpecial, options.ParseSpecial);
        return GenerateAsync(tokens, options, progress, cancellationToken);
    }

    /// <summary>Generates an answer to tokens.</summary>
    /// <inheritdoc cref="GenerateAsync(string, GenerationOptions?, IProgress{PrefillProgress}?, CancellationToken)"/>
    public IAsyncEnumerable<GeneratedToken> GenerateAsync(
        IReadOnlyList<int> prompt, GenerationOptions? options = null, IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ThrowIfDisposed();
        if (prompt.Count == 0)
        {
            throw new ArgumentException("The prompt is empty; it needs at least one token.", nameof(prompt));
        }

        if (prompt.Count > Context.SequenceLength)
        {
            throw new ContextFullException(
                $"The prompt has {prompt.Count} tokens, but the context has {Context.SequenceLength} cells per sequence. "
                + "Nothing was computed. Shorten the prompt or create a longer context.");
        }

        return RunAsync([.. prompt], options ?? new GenerationOptions(), progress, cancellationToken);
    }

    /// <summary>Generates a whole answer.</summary>
    /// <inheritdoc cref="GenerateAsync(string, GenerationOptions?, IProgress{PrefillProgress}?, CancellationToken)"/>
    /// <returns>Text, tokens, timings and retrieval statistics.</returns>
    public Task<GenerationResult> CompleteAsync(
        string prompt, GenerationOptions? options = null, IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        CompleteAsync(GenerateAsync(prompt, options, progress, cancellationToken));

    /// <summary>Generates a whole answer to tokens.</summary>
    /// <inheritdoc cref="GenerateAsync(string, GenerationOptions?, IProgress{PrefillProgress}?, CancellationToken)"/>
    /// <returns>Text, tokens, timings and retrieval statistics.</returns>
    public Task<GenerationResult> CompleteAsync(
        IReadOnlyList<int> prompt, GenerationOptions? options = null, IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        CompleteAsync(GenerateAsync(prompt, options, progress, cancellationToken));

    /// <summary>Stops a running generation, waits for its end and removes the session's cells.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        await _disposing.CancelAsync().ConfigureAwait(false);
        await _job.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!Context.IsDisposed && _history.Count > 0)
        {
            Task<bool> remove = Context.Worker.RunAsync(() =>
            {
                Context.RemoveSequence(Sequence);
                return true;
            });
            await ((Task)remove).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _disposing.Dispose();
    }

    private async Task<GenerationResult> CompleteAsync(IAsyncEnumerable<GeneratedToken> tokens)
    {
        await foreach (GeneratedToken _ in tokens.ConfigureAwait(false))
        {
            // the result collects them
        }

        return LastResult ?? throw new AnnRuntimeException("A generation has ended without a result.");
    }

    private async IAsyncEnumerable<GeneratedToken> RunAsync(
        int[] prompt, GenerationOptions options, IProgress<PrefillProgress>? progress,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ThrowIfDisposed();
        if (Interlocked.Exchange(ref _running, 1) == 1)
        {
            throw new InvalidOperationException(
                "This session is generating. Read that answer to its end, or use a second session.");
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposing.Token);
        var channel = Channel.CreateBounded<GeneratedToken>(
            new BoundedChannelOptions(ReadAhead) { SingleReader = true, SingleWriter = true });
        var loop = new GenerationLoop(
            Context, Sequence, _history, prompt, options, progress, channel.Writer, stop.Token);
        try
        {
            _job = Context.Worker.RunAsync(() => Work(loop, channel.Writer));
            await foreach (GeneratedToken token in channel.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                yield return token;
            }

            await Outcome(_job, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            // a reader that leaves early must not leave the context at work
            await stop.CancelAsync().ConfigureAwait(false);
            await _job.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Volatile.Write(ref _running, 0);
        }
    }

    // on the worker thread
    private bool Work(GenerationLoop loop, ChannelWriter<GeneratedToken> output)
    {
        try
        {
            loop.Run();
            return true;
        }
        finally
        {
            try
            {
                LastResult = loop.ToResult();
            }
            finally
            {
                output.Complete();
            }
        }
    }

    // the exception names the caller's token, not the linked one
    private async Task Outcome(Task job, CancellationToken cancellationToken)
    {
        try
        {
            await job.ConfigureAwait(false);
        }
        catch (OperationCanceledException exception)
        {
            if (!cancellationToken.IsCancellationRequested)
            {
                ThrowIfDisposed();
            }

            throw new OperationCanceledException("The generation was cancelled.", exception, cancellationToken);
        }
    }

    private void ThrowIfDisposed()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ObjectDisposedException.ThrowIf(Context.IsDisposed, Context);
    }
}
