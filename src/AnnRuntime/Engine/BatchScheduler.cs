using System.Diagnostics;

namespace AnnRuntime;

/// <summary>Continuous batching: each step computes one batch of all requests that search alike.</summary>
/// <remarks>
/// A request that generates has one token in every step of its group. Prompts share what is left of the step, in equal
/// parts. Groups of different search take turns. A request that is observed generates in a group of its own. Used by the
/// engine's thread alone.
/// </remarks>
internal sealed class BatchScheduler(AnnContext context, EngineOptions options, EngineMeter meter)
{
    private readonly record struct Part(EngineSlot Slot, int Count, int LastIndex);

    private readonly SlotTable _slots = new(context);
    private readonly Batch _batch = new();
    private readonly List<Part> _parts = [];
    private SearchChoice _applied = Choice(context.Search);
    private int _turn;
    private long _generatingSteps;

    public SlotTable Slots => _slots;

    /// <summary>For tests: called before each batch with its search.</summary>
    public Action<SearchChoice>? BeforeDecode { get; set; }

    /// <summary>The search of a request: its own wishes, else the context's.</summary>
    public static SearchChoice Choice(SearchOptions resolved, SearchMode? mode = null, int? topK = null)
    {
        SearchMode chosen = mode ?? resolved.Mode!.Value;
        // full attention is the same for every K
        return new SearchChoice(chosen, chosen is not (SearchMode.Off or SearchMode.Dense) ? topK ?? resolved.TopK ?? 0 : 0);
    }

    /// <summary>Takes a request in. False: it has to wait.</summary>
    public bool TryAdmit(Generation request) => _slots.TryAdmit(request) is { } slot && Begin(slot, request);

    /// <summary>Computes one batch. False: there is nothing to do.</summary>
    public bool Step(CancellationToken stopping)
    {
        EndCancelled(stopping);
        EngineSlot[] group = NextGroup();
        if (group.Length == 0)
        {
            return false;
        }

        bool observed = IsObserved(group[0]);
        bool measured = observed || IsMeasured(group);
        try
        {
            Apply(group[0].Choice, measured);
            Fill(group);
            BeforeDecode?.Invoke(group[0].Choice);
            long started = Stopwatch.GetTimestamp();
            Decode(_parts.Count == 1 ? _parts[0].Slot.Request!.Cancellation : stopping);
            TimeSpan time = Stopwatch.GetElapsedTime(started);
            meter.AddStep(_parts.Count, _batch.Count, time);
            if (measured)
            {
                meter.AddSearch(context.GetStatistics(), group[0].Choice.Mode);
            }

            foreach (Part part in _parts)
            {
                Advance(part, time, observed);
            }
        }
        catch (OperationCanceledException)
        {
            // the batch was removed again; the next step ends what is cancelled
        }
        catch (Exception exception)
        {
            foreach (EngineSlot slot in group.Where(slot => slot.Request is not null))
            {
                End(slot, FinishReason.Failed, exception);
            }

            if (exception is NotEnoughMemoryException)
            {
                _slots.Restart(); // an index that could not grow is usable again only when it is empty
            }
        }

        return true;
    }

    /// <summary>Ends every request that is served.</summary>
    public void EndAll(Exception exception)
    {
        foreach (EngineSlot slot in _slots.Busy.ToArray())
        {
            End(slot, FinishReason.Failed, exception);
        }
    }

    /// <summary>Computes a ubatch of a few tokens and one token, and forgets them. Does nothing while all slots are busy.</summary>
    public bool WarmUp()
    {
        if (_slots.LeastUseful(except: null) is not { } slot)
        {
            return false;
        }

        _slots.Forget(slot);
        int token = Math.Max(0, context.Model.Tokenizer.BeginToken ?? 0);
        int[] tokens = [.. Enumerable.Repeat(token, Math.Min(8, Math.Min(context.Options.UbatchSize, context.SequenceLength - 1)))];
        context.Decode(tokens, slot.Sequence);
        context.Decode([token], slot.Sequence);
        context.RemoveSequence(slot.Sequence);
        return true;
    }

    private bool IsMeasured(EngineSlot[] group) =>
        options.MeasureEvery > 0
        && group[0].Choice.Mode != SearchMode.Off
        && group.All(slot => slot.Pending.Count == 1)
        && _generatingSteps++ % options.MeasureEvery == 0;

    private static bool IsObserved(EngineSlot slot) => slot.Request!.Request.Observe && slot.Pending.Count == 1;

    private bool Begin(EngineSlot slot, Generation request)
    {
        SamplingOptions sampling = request.Request.Options.Sampling;
        if (sampling.LooksBack)
        {
            foreach (int token in request.Request.Prompt.TakeLast(sampling.PenaltyWindow))
            {
                request.Sampler.Accept(token);
            }
        }

        return slot.Request == request;
    }

    private void EndCancelled(CancellationToken stopping)
    {
        foreach (EngineSlot slot in _slots.Busy.ToArray())
        {
            if (stopping.IsCancellationRequested || slot.Request!.Cancellation.IsCancellationRequested)
            {
                End(slot, FinishReason.Cancelled);
            }
        }
    }

    // the slot whose turn it is, with all that can share its batch
    private EngineSlot[] NextGroup()
    {
        int count = _slots.All.Count;
        for (int step = 0; step < count; step++)
        {
            EngineSlot first = _slots.All[(_turn + step) % count];
            if (first.Request is null)
            {
                continue;
            }

            _turn = (_turn + step + 1) % count;
            return IsObserved(first)
                ? [first]
                : [.. _slots.Busy.Where(slot => slot.Choice == first.Choice && !IsObserved(slot))];
        }

        return [];
    }

    private void Apply(SearchChoice choice, bool measured)
    {
        if (choice != _applied)
        {
            context.Search = options.Context.Search with
            {
                Mode = choice.Mode,
                TopK = choice.TopK > 0 ? choice.TopK : null,
            };
            _applied = choice;
        }

        if (measured)
        {
            context.StartStatistics(StatisticsKinds.Mass);
        }
        else if (context.Statistics != StatisticsKinds.None)
        {
            context.StartStatistics(StatisticsKinds.None);
        }
    }

    private void Fill(EngineSlot[] group)
    {
        _batch.Clear();
        _parts.Clear();
        int prompts = group.Count(slot => slot.Pending.Count > 1);
        int generating = group.Length - prompts;
        int budget = generating == 0
            ? context.Options.UbatchSize
            : Math.Min(options.PromptTokensPerStep, context.Options.UbatchSize - generating);
        int share = Math.Max(1, Math.Min(budget, context.Options.BatchSize - generating) / Math.Max(1, prompts));
        foreach (EngineSlot slot in group)
        {
            int taken = Math.Min(share, slot.Pending.Count);
            int last = -1;
            for (int index = 0; index < taken; index++)
            {
                bool wantLogits = index + 1 == slot.Pending.Count;
                last = _batch.Add(slot.Pending[index], slot.History.Count + index, slot.Sequence, wantLogits);
            }

            _parts.Add(new Part(slot, taken, last));
        }
    }

    private void Decode(CancellationToken cancellationToken)
    {
        try
        {
            context.Decode(_batch, cancellationToken);
        }
        catch (ContextFullException)
        {
            _slots.ForgetIdle();
            context.Decode(_batch, cancellationToken);
        }
    }

    private void Advance(Part part, TimeSpan time, bool observed)
    {
        EngineSlot slot = part.Slot;
        Generation request = slot.Request!;
        bool generates = request.Answer.Tokens.Count > 0;
        slot.History.AddRange(slot.Pending.Take(part.Count));
        slot.Pending.RemoveRange(0, part.Count);
        request.AddTime(!generates, time);
        if (observed)
        {
            request.Retrieval = ReadRetrieval(slot.History.Count - 1);
        }

        if (slot.Pending.Count > 0)
        {
            return;
        }

        try
        {
            Sample(slot, request, part.LastIndex);
        }
        catch (Exception exception)
        {
            End(slot, FinishReason.Failed, exception);
        }
    }

    private void Sample(EngineSlot slot, Generation request, int index)
    {
        int token = request.Sampler.Sample(context, index);
        bool full = slot.History.Count >= context.SequenceLength;
        bool stops = request.Request.Overflow == OverflowPolicy.Stop || context.SequenceLength <= request.Request.KeepTokens + 1;
        GeneratedToken generated = request.Answer.Add(token, full && stops, out FinishReason? reason);
        request.Send(generated);
        if (reason is { } ended)
        {
            End(slot, ended);
            return;
        }

        slot.Pending.Add(token);
        if (full && request.Request.Overflow == OverflowPolicy.Error)
        {
            End(slot, FinishReason.Failed, new ContextFullException(
                $"The sequence has {context.SequenceLength} cells and all are used after {request.Answer.Tokens.Count} tokens of the answer."));
        }
        else if (full)
        {
            Shift(slot, request);
        }
    }

    // forgets the older half behind the first tokens; cells may be shared with other slots, so the rest is computed again
    private void Shift(EngineSlot slot, Generation request)
    {
        int keep = Math.Min(request.Request.KeepTokens, slot.History.Count - 1);
        int forgotten = Math.Max(1, (slot.History.Count - keep) / 2);
        int[] left = [.. slot.History.Take(keep), .. slot.History.Skip(keep + forgotten), .. slot.Pending];
        _slots.Forget(slot);
        slot.Pending.Clear();
        slot.Pending.AddRange(left);
        request.ForgottenTokens += forgotten;
    }

    private RetrievedCells ReadRetrieval(int position)
    {
        RetrievalStatistics statistics = context.GetStatistics();
        return new RetrievedCells(position,
        [
            .. statistics.Layers.Where(layer => layer.Searched).Select(layer =>
                new RetrievedLayer(layer.Layer, context.GetCandidates(layer.Layer), layer.Mass, layer.TeacherRecall)),
        ]);
    }

    private void End(EngineSlot slot, FinishReason reason, Exception? exception = null)
    {
        Generation request = slot.Request!;
        _slots.Release(slot);
        meter.AddEnd(request, reason);
        request.End(reason, exception);
    }
}
