namespace AnnRuntime;

/// <summary>How far a training was at a measurement.</summary>
/// <param name="Step">Updates made.</param>
/// <param name="Loss">Mean over layers and over the windows since the point before; NaN at the beginning.</param>
/// <param name="Mass">Attention mass that the search keeps on held-out text, per trained layer.</param>
/// <param name="Seconds">Time spent learning until then.</param>
public sealed record TrainingPoint(int Step, double Loss, IReadOnlyList<double> Mass, double Seconds)
{
    /// <summary>Mean of <see cref="Mass"/>.</summary>
    public double MeanMass => Mass.Average();
}
