namespace AnnRuntime;

/// <summary>The sequences of an engine's context: which serve a request, and which keep cells that a later one may reuse.</summary>
internal sealed class SlotTable(AnnContext context)
{
    private readonly EngineSlot[] _slots =
        [.. Enumerable.Range(0, context.Options.MaxSequences).Select(sequence => new EngineSlot(sequence))];
    private long _clock;

    public IReadOnlyList<EngineSlot> All => _slots;

    public IEnumerable<EngineSlot> Busy => _slots.Where(slot => slot.Request is not null);

    /// <summary>Cells of all histories; those that several share count for each.</summary>
    public int Cells => _slots.Sum(slot => slot.History.Count);

    /// <summary>Gives a request a sequence with as much of its prompt as any sequence holds. Null: it has to wait.</summary>
    public EngineSlot? TryAdmit(Generation request)
    {
        IReadOnlyList<int> prompt = request.Request.Prompt;
        int reserved = (int)Math.Min(
            context.SequenceLength, prompt.Count + (long)(request.Request.Options.MaxTokens ?? context.SequenceLength));
        EngineSlot? free = LeastUseful(except: null);
        if (free is null || Busy.Sum(slot => slot.Reserved) + reserved > context.Cells)
        {
            return null;
        }

        (EngineSlot? source, int common) = Longest(prompt, request.Choice);
        EngineSlot target = source is null ? free : Target(source, common);
        if (target != source)
        {
            Forget(target);
        }

        // makes room before anything is shared, so that the source may be given up too
        target.Request = request;
        target.Reserved = reserved;
        EvictIdle(keep: source);
        if (source is not null && source != target)
        {
            context.CopySequence(source.Sequence, target.Sequence, 0, common);
            target.History.AddRange(source.History.Take(common));
        }
        else
        {
            common = Truncate(target, common);
        }

        EvictIdle(keep: null);
        target.Choice = request.Choice;
        target.Pending.Clear();
        target.Pending.AddRange(prompt.Skip(common));
        request.CachedTokens = common;
        return target;
    }

    /// <summary>Ends a slot's request; the cells stay.</summary>
    public void Release(EngineSlot slot)
    {
        slot.Request = null;
        slot.Reserved = 0;
        slot.Pending.Clear();
        slot.IdleSince = ++_clock;
    }

    /// <summary>Removes a slot's cells.</summary>
    public void Forget(EngineSlot slot)
    {
        if (slot.History.Count > 0)
        {
            context.RemoveSequence(slot.Sequence);
            slot.History.Clear();
        }
    }

    /// <summary>Removes the cells of every idle slot.</summary>
    public void ForgetIdle()
    {
        foreach (EngineSlot slot in _slots.Where(slot => slot.Request is null))
        {
            Forget(slot);
        }
    }

    /// <summary>Removes all cells; what the requests that are served had is computed again.</summary>
    public void Restart()
    {
        context.Clear();
        foreach (EngineSlot slot in _slots)
        {
            if (slot.Request is not null)
            {
                slot.Pending.InsertRange(0, slot.History);
            }

            slot.History.Clear();
        }
    }

    /// <summary>An idle slot: an empty one, else the one that has been idle longest. Null: all are busy.</summary>
    public EngineSlot? LeastUseful(EngineSlot? except) => _slots
        .Where(slot => slot.Request is null && slot != except)
        .OrderBy(slot => slot.History.Count > 0)
        .ThenBy(slot => slot.IdleSince)
        .FirstOrDefault();

    private (EngineSlot? Slot, int Common) Longest(IReadOnlyList<int> prompt, SearchChoice choice)
    {
        EngineSlot? best = null;
        int longest = 0;
        foreach (EngineSlot slot in _slots.Where(slot => slot.Choice == choice))
        {
            int common = slot.CommonPrefix(prompt);
            if (common > longest || (common == longest && common > 0 && slot.Request is null))
            {
                (best, longest) = (slot, common);
            }
        }

        return (best, longest);
    }

    // an idle source is taken over when most of it is wanted, else its beginning is shared with another slot
    private EngineSlot Target(EngineSlot source, int common)
    {
        EngineSlot? other = LeastUseful(except: source);
        return source.Request is null && (other is null || 2 * common >= source.History.Count) ? source : other!;
    }

    private int Truncate(EngineSlot slot, int common)
    {
        if (common < slot.History.Count)
        {
            try
            {
                context.RemoveSequence(slot.Sequence, common);
            }
            catch (UnsupportedModelException)
            {
                common = 0; // a model that cannot forget a part
                context.RemoveSequence(slot.Sequence);
            }

            slot.History.RemoveRange(common, slot.History.Count - common);
        }

        return common;
    }

    // every busy slot must be able to reach what it has reserved
    private void EvictIdle(EngineSlot? keep)
    {
        while (Busy.Sum(slot => slot.Reserved) + _slots.Sum(slot => slot.Request is null ? slot.History.Count : 0) > context.Cells)
        {
            EngineSlot? victim = _slots
                .Where(slot => slot.Request is null && slot.History.Count > 0 && slot != keep)
                .MinBy(slot => slot.IdleSince);
            if (victim is null)
            {
                return;
            }

            Forget(victim);
        }
    }
}
