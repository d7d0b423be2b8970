namespace AnnRuntime;

/// <summary>What a training tells while it runs.</summary>
/// <param name="Step">Updates made.</param>
/// <param name="Steps">Updates in all.</param>
/// <param name="Loss">Loss of the last window, mean over layers; NaN before the first.</param>
/// <param name="Remaining">Estimated time left, null before the first window.</param>
/// <param name="Point">A measurement, if one was just made.</param>
public sealed record TrainingProgress(int Step, int Steps, double Loss, TimeSpan? Remaining, TrainingPoint? Point);
