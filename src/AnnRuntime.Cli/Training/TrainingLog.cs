using System.Globalization;

namespace AnnRuntime.Cli;

/// <summary>A line for each measurement of a training.</summary>
internal sealed class TrainingLog(TextWriter writer, int topK)
{
    /// <summary>Writes measurements and passes the share done on.</summary>
    public IProgress<TrainingProgress> Reporting(Action<double> share) => new Relay(this, share);

    private void Write(TrainingProgress progress, TrainingPoint point)
    {
        string left = progress.Remaining is { } time ? $"  {Minutes(time)} left" : "";
        string loss = double.IsNaN(point.Loss) ? "" : string.Create(CultureInfo.InvariantCulture, $"  loss {point.Loss:0.000}");
        string layers = string.Join(' ', point.Mass.Select(m => m.ToString(".000", CultureInfo.InvariantCulture)));
        writer.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"step {point.Step,4} of {progress.Steps}{loss}  mass@{topK} {point.MeanMass:0.0000}{left}  by layer {layers}"));
    }

    private static string Minutes(TimeSpan time) =>
        time.TotalMinutes < 2 ? $"{time.TotalSeconds:0} s" : $"{time.TotalMinutes:0} min";

    private sealed class Relay(TrainingLog log, Action<double> share) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            share((double)Math.Min(value.Step, value.Steps) / value.Steps);
            if (value.Point is { } point)
            {
                log.Write(value, point);
            }
        }
    }
}
