namespace AnnRuntime.Tests;

/// <summary>Progress that is told at once, on the thread that reports.</summary>
internal sealed class Direct<T>(Action<T> handler) : IProgress<T>
{
    public void Report(T value) => handler(value);
}
