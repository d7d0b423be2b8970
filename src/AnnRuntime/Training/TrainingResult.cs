using AnnRuntime.Gguf;

namespace AnnRuntime;

/// <summary>What a training gave.</summary>
/// <param name="History">Measurements, the first before any update.</param>
/// <param name="Settings">What a model file with these projections says of its search, provenance included.</param>
/// <param name="Stopped">True when it stopped early, for lack of a better held-out mass.</param>
public sealed record TrainingResult(IReadOnlyList<TrainingPoint> History, AnnSettings Settings, bool Stopped);
