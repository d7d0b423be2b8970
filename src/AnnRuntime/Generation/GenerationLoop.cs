using System.Diagnostics;
using System.Threading.Channels;

namespace AnnRuntime;

/// <summary>One generation on the worker thread: prompt in chunks, then a token after the other.</summary>
internal sealed class GenerationLoop(
    AnnContext context,
    int sequence,
    List<int> history,
    int[] prompt,
    GenerationOptions options,
    IProgress<PrefillProgress>? progress,
    ChannelWriter<GeneratedToken> output,
    CancellationToken cancellationToken)
{
    private readonly AnswerBuilder _answer = new(context.Model.Tokenizer, options);
    private readonly Stopwatch _decodeTime = new();
    private readonly Stopwatch _promptTime = new();
    private int _cached;
    private int _steps;

    /// <summary>Why it ended; failed until it did.</summary>
    public FinishReason FinishReason { get; private set; } = FinishReason.Failed;

    /// <summary>Runs to the end. The channel gets every token and is completed by the caller.</summary>
    public void Run()
    {
        try
        {
            Prefill();
            FinishReason = Generate();
        }
        catch (OperationCanceledException)
        {
            FinishReason = FinishReason.Cancelled;
            throw;
        }
    }

    /// <summary>What came out, also of a generation that was cancelled or failed.</summary>
    public GenerationResult ToResult() => new(
        _answer.Text,
        _answer.Tokens,
        FinishReason,
        new GenerationTimings
        {
            PromptTokens = prompt.Length,
            CachedTokens = _cached,
            PromptTime = _promptTime.Elapsed,
            GeneratedTokens = _answer.Tokens.Count,
            DecodeSteps = _steps,
            DecodeTime = _decodeTime.Elapsed,
        },
        context.IsDisposed || context.Statistics == StatisticsKinds.None ? null : context.GetStatistics());

    private void Prefill()
    {
        KeepPrefix();
        progress?.Report(new PrefillProgress(_cached, prompt.Length));
        int chunk = Math.Min(context.Options.UbatchSize, context.Options.BatchSize);
        for (int start = _cached; start < prompt.Length; start += chunk)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<int> tokens = prompt.AsSpan(start, Math.Min(chunk, prompt.Length - start));
            _promptTime.Start();
            context.Decode(tokens, sequence, cancellationToken);
            _promptTime.Stop();
            history.AddRange(tokens);
            progress?.Report(new PrefillProgress(history.Count, prompt.Length));
        }
    }

    // the last token of the prompt is always computed: its logits choose the first token of the answer
    private void KeepPrefix()
    {
        int most = options.ReusePrefix ? Math.Min(history.Count, prompt.Length - 1) : 0;
        while (_cached < most && history[_cached] == prompt[_cached])
        {
            _cached++;
        }

        if (_cached < history.Count || _cached == 0)
        {
            context.RemoveSequence(sequence, _cached);
            history.RemoveRange(_cached, history.Count - _cached);
        }
    }

    private FinishReason Generate()
    {
        using var sampler = new Sampler(context.Model, options.Sampling);
        if (options.Sampling.LooksBack)
        {
            foreach (int token in prompt.AsSpan(Math.Max(0, prompt.Length - options.Sampling.PenaltyWindow)))
            {
                sampler.Accept(token);
            }
        }

        int[] next = new int[1];
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _decodeTime.Start();
            next[0] = sampler.Sample(context);
            _decodeTime.Stop();
            if (Emit(next[0]) is { } reason)
            {
                return reason;
            }

            _decodeTime.Start();
            context.Decode(next, sequence, cancellationToken);
            _decodeTime.Stop();
            _steps++;
            history.Add(next[0]);
        }
    }

    private FinishReason? Emit(int token)
    {
        GeneratedToken generated = _answer.Add(token, history.Count + 1 > context.SequenceLength, out FinishReason? reason);
        if (!output.TryWrite(generated))
        {
            output.WriteAsync(generated, cancellationToken).AsTask().GetAwaiter().GetResult();
        }

        return reason;
    }
}
