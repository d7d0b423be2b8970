namespace AnnRuntime.Evaluation;

/// <summary>A choice of searching layers.</summary>
/// <param name="Order">reserve-weakest, evenly or worst-first.</param>
/// <param name="Layers">Layers that searched.</param>
/// <param name="GapPercent">Perplexity above full attention's.</param>
/// <param name="Mass">Mean mass over them; null when not measured or none.</param>
/// <param name="TeacherRecall">Mean teacher recall over them; null when not measured or none.</param>
/// <param name="DecodeTokensPerSecond">Tokens generated one by one behind a full window, on this machine.</param>
/// <param name="OnFront">No other point has as many layers and a smaller gap, or more layers and as small a gap.</param>
public sealed record CoveragePoint(
    string Order, IReadOnlyList<int> Layers, double GapPercent, double? Mass, double? TeacherRecall, double DecodeTokensPerSecond,
    bool OnFront);
