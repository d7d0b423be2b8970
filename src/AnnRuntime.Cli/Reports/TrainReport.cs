namespace AnnRuntime.Cli;

/// <summary>The JSON document of <c>train</c>.</summary>
/// <param name="Output">File that was written.</param>
/// <param name="TopK">Cells that the mass is measured at.</param>
/// <param name="StoppedEarly">No better held-out mass for as long as was asked.</param>
/// <param name="History">Measurements; the loss of the first, before any update, is 0.</param>
internal sealed record TrainReport(string Output, int TopK, bool StoppedEarly, IReadOnlyList<TrainingPoint> History);
