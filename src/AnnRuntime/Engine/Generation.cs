using System.Diagnostics;
using System.Threading.Channels;

namespace AnnRuntime;

/// <summary>A request that an engine has taken. Reads as the tokens of its answer, once.</summary>
/// <remarks>An enumeration that is left early cancels the request.</remarks>
public sealed class Generation : IAsyncEnumerable<GeneratedToken>, IDisposable
{
    private readonly Channel<GeneratedToken> _tokens = Channel.CreateUnbounded<GeneratedToken>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly TaskCompletionSource<GenerationResult> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _cancel = new();
    private readonly CancellationToken _callers;
    private readonly CancellationTokenRegistration _cancelledByCaller;
    private readonly long _submitted = Stopwatch.GetTimestamp();
    private TimeSpan _promptTime;
    private TimeSpan _decodeTime;
    private int _steps;

    internal Generation(AnnModel model, GenerationRequest request, SearchChoice choice, CancellationToken cancellationToken)
    {
        Request = request;
        Choice = choice;
        Answer = new AnswerBuilder(model.Tokenizer, request.Options);
        Sampler = new Sampler(model, request.Options.Sampling);
        _callers = cancellationToken;
        Cancellation = _cancel.Token;
        _cancelledByCaller = cancellationToken.UnsafeRegister(static cancel => ((CancellationTokenSource)cancel!).Cancel(), _cancel);
    }

    /// <summary>The request.</summary>
    public GenerationRequest Request { get; }

    /// <summary>Ends with the answer, or with the exception that ended it.</summary>
    /// <remarks>Cancelled requests end it with an <see cref="OperationCanceledException"/>.</remarks>
    public Task<GenerationResult> Result => _result.Task;

    /// <summary>What each layer retrieved for the newest token; null unless <see cref="GenerationRequest.Observe"/>.</summary>
    public RetrievedCells? Retrieval { get; internal set; }

    /// <summary>Time from the request to its first token; null before.</summary>
    public TimeSpan? TimeToFirstToken { get; private set; }

    /// <summary>Time since the request.</summary>
    internal TimeSpan Age => Stopwatch.GetElapsedTime(_submitted);

    internal SearchChoice Choice { get; }

    internal AnswerBuilder Answer { get; }

    internal Sampler Sampler { get; }

    internal CancellationToken Cancellation { get; }

    /// <summary>Called once, before the result is there.</summary>
    internal Action? Ended { get; set; }

    internal int CachedTokens { get; set; }

    internal int ForgottenTokens { get; set; }

    /// <summary>Stops the request; its cells stay for the next one.</summary>
    public void Cancel() => _cancel.Cancel();

    /// <summary>Stops the request.</summary>
    public void Dispose() => _cancel.Cancel();

    /// <summary>The tokens as they come; after the last one, the exception that ended the request, if any.</summary>
    /// <param name="cancellationToken">Stops the request.</param>
    public async IAsyncEnumerator<GeneratedToken> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(
            static cancel => ((CancellationTokenSource)cancel!).Cancel(), _cancel);
        try
        {
            await foreach (GeneratedToken token in _tokens.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                yield return token;
            }

            await _result.Task.ConfigureAwait(false);
        }
        finally
        {
            await _cancel.CancelAsync().ConfigureAwait(false);
        }
    }

    internal void AddTime(bool ofPrompt, TimeSpan time)
    {
        if (ofPrompt)
        {
            _promptTime += time;
        }
        else
        {
            _decodeTime += time;
            _steps++;
        }
    }

    internal void Send(GeneratedToken token)
    {
        TimeToFirstToken ??= Age;
        _tokens.Writer.TryWrite(token);
    }

    internal GenerationTimings Timings => new()
    {
        PromptTokens = Request.Prompt.Count,
        CachedTokens = CachedTokens,
        PromptTime = _promptTime,
        GeneratedTokens = Answer.Tokens.Count,
        DecodeSteps = _steps,
        DecodeTime = _decodeTime,
    };

    /// <summary>Frees what a request holds that has ended or was never taken.</summary>
    internal void Release()
    {
        Sampler.Dispose();
        _cancelledByCaller.Unregister(); // the caller's token may live as long as the program
    }

    /// <summary>Ends the request: with a reason, or with an exception.</summary>
    internal void End(FinishReason reason, Exception? exception = null)
    {
        Release();
        Ended?.Invoke();
        switch (reason)
        {
            case FinishReason.Cancelled:
                _result.TrySetException(new OperationCanceledException("The generation was cancelled.", exception, _callers));
                break;
            case FinishReason.Failed:
                _result.TrySetException(exception!);
                break;
            default:
                _result.TrySetResult(new GenerationResult(Answer.Text, Answer.Tokens, reason, Timings, Retrieval: null)
                {
                    ForgottenTokens = ForgottenTokens,
                });
                break;
        }

        // a request whose reader has gone must not be reported as an exception that nobody observed
        _ = _result.Task.Exception;
        _tokens.Writer.Complete();
    }
}
