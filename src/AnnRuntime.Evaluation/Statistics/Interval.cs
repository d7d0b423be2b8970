namespace AnnRuntime.Evaluation;

/// <summary>A mean with a 95 % interval.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="Low">2.5th percentile.</param>
/// <param name="High">97.5th percentile.</param>
public sealed record Interval(double Mean, double Low, double High)
{
    /// <summary>Whether 0 lies inside.</summary>
    public bool HoldsZero => Low <= 0 && High >= 0;
}
