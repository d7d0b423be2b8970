namespace AnnRuntime.Evaluation;

/// <summary>Compares next-token distributions, target by target.</summary>
internal sealed class DivergenceCollector(int targets)
{
    private readonly List<float> _kl = new(targets);
    private readonly List<float> _logRatio = new(targets);
    private readonly List<float> _change = new(targets);
    private int _sameTop;

    /// <summary>Adds one target.</summary>
    /// <param name="full">Logits of full attention.</param>
    /// <param name="other">Logits of the variant.</param>
    /// <param name="target">The token that came.</param>
    /// <param name="nll">Its negative log-likelihood by <paramref name="other"/>.</param>
    public void Add(ReadOnlySpan<float> full, ReadOnlySpan<float> other, int target, double nll)
    {
        double fullNll = Logits.LogSumExp(full) - full[target];
        _kl.Add(Round(Logits.Divergence(full, other)));
        _logRatio.Add(Round(fullNll - nll));
        _change.Add(Round(Math.Exp(-nll) - Math.Exp(-fullNll)));
        _sameTop += Logits.Top(full) == Logits.Top(other) ? 1 : 0;
    }

    public WindowDivergence ToResult() => new(_kl, _logRatio, _change, _sameTop);

    // six decimals: the journal keeps every value
    private static float Round(double value) => (float)Math.Round(value, 6);
}
