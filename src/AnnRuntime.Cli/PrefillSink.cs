namespace AnnRuntime.Cli;

/// <summary>Passes the progress of a prompt on to a bar that may be made later.</summary>
internal sealed class PrefillSink : IProgress<PrefillProgress>
{
    /// <summary>Gets the share done, 0..1.</summary>
    public Action<double>? Step { get; set; }

    public void Report(PrefillProgress value) => Step?.Invoke((double)value.Done / value.Total);
}
