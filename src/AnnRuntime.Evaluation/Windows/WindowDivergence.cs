namespace AnnRuntime.Evaluation;

/// <summary>Next-token distributions of a window against those of full attention, one value per target.</summary>
/// <param name="Kl">KL divergence of full attention from the variant, in nats.</param>
/// <param name="LogRatio">log p(variant) - log p(full) of the target.</param>
/// <param name="ProbabilityChange">p(variant) - p(full) of the target.</param>
/// <param name="SameTop">Targets where both have the same most likely token.</param>
public sealed record WindowDivergence(
    IReadOnlyList<float> Kl, IReadOnlyList<float> LogRatio, IReadOnlyList<float> ProbabilityChange, int SameTop);
