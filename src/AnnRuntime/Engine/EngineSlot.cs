namespace AnnRuntime;

/// <summary>A sequence of the engine's context: the tokens whose cells it holds and the request that it serves.</summary>
internal sealed class EngineSlot(int sequence)
{
    public int Sequence { get; } = sequence;

    /// <summary>Tokens in the cache, in order of position.</summary>
    public List<int> History { get; } = [];

    /// <summary>The search that computed them.</summary>
    public SearchChoice Choice { get; set; }

    /// <summary>Tokens that are to be computed next: the rest of a prompt, or the token sampled last.</summary>
    public List<int> Pending { get; } = [];

    /// <summary>The request, null while the slot is idle.</summary>
    public Generation? Request { get; set; }

    /// <summary>Cells that the request may come to need.</summary>
    public int Reserved { get; set; }

    /// <summary>When it last became idle, in requests.</summary>
    public long IdleSince { get; set; }

    /// <summary>Tokens that a prompt has in common with the history. The last one of the prompt does not count: it is
    /// always computed, since its logits choose the first token of the answer.</summary>
    public int CommonPrefix(IReadOnlyList<int> prompt)
    {
        int most = Math.Min(History.Count, prompt.Count - 1);
        int common = 0;
        while (common < most && History[common] == prompt[common])
        {
            common++;
        }

        return common;
    }
}
