using System.Diagnostics;
using System.Text;
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
    private readonly Tokenizer _tokenizer = context.Model.Tokenizer;
    private readonly TokenDecoder _decoder = new();
    private readonly StopScanner _stops = new(options.StopStrings);
    private readonly StringBuilder _text = new();
    private readonly List<int> _tokens = [];
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
        _text.ToString(),
        _tokens,
        FinishReason,
        new GenerationTimings
        {
            PromptTokens = prompt.Length,
            CachedTokens = _cached,
            PromptTime = _promptTime.Elapsed,
            GeneratedTokens = _tokens.Count,
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

    // sends a token on; the last one carries all text that was held back
    private FinishReason? Emit(int token)
    {
        bool ends = _tokenizer.IsEndOfGeneration(token) && !options.IgnoreEndOfGeneration;
        string text = "";
        if (!ends || options.ShowSpecial)
        {
            text = _stops.Append(_decoder.Append(_tokenizer.GetBytes(token, options.ShowSpecial)));
        }

        FinishReason? reason =
            _stops.Found is not null ? AnnRuntime.FinishReason.StopString
            : ends ? AnnRuntime.FinishReason.EndOfGeneration
            : _tokens.Count + 1 >= options.MaxTokens ? AnnRuntime.FinishReason.MaxTokens
            : history.Count + 1 > context.SequenceLength ? AnnRuntime.FinishReason.ContextFull
            : null;
        if (reason is not null && reason != AnnRuntime.FinishReason.StopString)
        {
            text += _stops.Append(_decoder.Flush()) + _stops.Flush();
        }

        _text.Append(text);
        var generated = new GeneratedToken(token, text, _tokens.Count);
        _tokens.Add(token);
        if (!output.TryWrite(generated))
        {
            output.WriteAsync(generated, cancellationToken).AsTask().GetAwaiter().GetResult();
        }

        return reason;
    }
}
