using System.Collections.Concurrent;

namespace AnnRuntime;

/// <summary>One thread that does a context's native work, a job after the other.</summary>
internal sealed class ContextWorker : IDisposable
{
    private readonly BlockingCollection<Action> _jobs = [];

    public ContextWorker()
    {
        var thread = new Thread(Work) { IsBackground = true, Name = "AnnRuntime worker" };
        thread.Start();
    }

    /// <summary>Queues a job. The task ends with its result or its exception.</summary>
    /// <exception cref="ObjectDisposedException">The worker has ended.</exception>
    public Task<T> RunAsync<T>(Func<T> job)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _jobs.Add(() =>
            {
                try
                {
                    done.SetResult(job());
                }
                catch (Exception exception)
                {
                    done.SetException(exception);
                }
            });
        }
        catch (InvalidOperationException)
        {
            throw new ObjectDisposedException(nameof(AnnContext));
        }

        return done.Task;
    }

    /// <summary>Ends the thread after the jobs that are queued; they find their context disposed.</summary>
    public void Dispose() => _jobs.CompleteAdding();

    private void Work()
    {
        foreach (Action job in _jobs.GetConsumingEnumerable())
        {
            job();
        }

        _jobs.Dispose();
    }
}
