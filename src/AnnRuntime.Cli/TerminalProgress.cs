using System.Diagnostics;
using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Shows how far a long step is: a bar on a terminal, a line now and then in a log.</summary>
internal static class TerminalProgress
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(10);

    /// <summary>Runs a step that reports its share done, 0..1, from any thread.</summary>
    public static async Task<T> ProgressAsync<T>(this Terminal terminal, string title, Func<Action<double>, Task<T>> step)
    {
        if (!terminal.Status.Profile.Capabilities.Interactive)
        {
            return await step(new Lines(terminal.Error, title).Report);
        }

        T result = default!;
        await terminal.Status.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .StartAsync(async context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(title), maxValue: 1);
                result = await step(value => task.Value = value);
            });
        return result;
    }

    /// <summary>Nothing in the first two seconds, then a line every ten.</summary>
    private sealed class Lines(TextWriter writer, string title)
    {
        private readonly Lock _gate = new();
        private readonly long _start = Stopwatch.GetTimestamp();
        private TimeSpan _next = First;

        public void Report(double value)
        {
            lock (_gate)
            {
                TimeSpan elapsed = Stopwatch.GetElapsedTime(_start);
                if (elapsed < _next)
                {
                    return;
                }

                _next = elapsed + Between;
                string left = value > 0 ? $", about {elapsed.TotalSeconds / value * (1 - value):0} s left" : "";
                writer.WriteLine($"{title}: {value * 100:0} %, {elapsed.TotalSeconds:0} s{left}");
            }
        }
    }
}
