namespace AnnRuntime;

/// <summary>One input on its way to an embedding.</summary>
internal sealed class EmbeddingJob(IReadOnlyList<int> tokens, int dimensions, CancellationToken cancellationToken)
{
    private readonly TaskCompletionSource<float[]> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly double[] _sum = new double[dimensions];

    public IReadOnlyList<int> Tokens { get; } = tokens;

    public CancellationToken Cancellation { get; } = cancellationToken;

    public Task<float[]> Result => _result.Task;

    /// <summary>Its sequence while it is computed, -1 before.</summary>
    public int Sequence { get; set; } = -1;

    /// <summary>Tokens computed.</summary>
    public int Computed { get; set; }

    /// <summary>Whether the pooling looks at a token.</summary>
    public bool Wants(int position, Pooling pooling) => pooling switch
    {
        Pooling.Cls => position == 0,
        Pooling.Last => position == Tokens.Count - 1,
        _ => true,
    };

    /// <summary>Adds a token's embedding.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        for (int index = 0; index < _sum.Length; index++)
        {
            _sum[index] += values[index];
        }
    }

    /// <summary>Ends it with the pooled embedding.</summary>
    public void Complete(Pooling pooling)
    {
        double count = pooling == Pooling.Mean ? Tokens.Count : 1;
        _result.TrySetResult(Array.ConvertAll(_sum, sum => (float)(sum / count)));
    }

    /// <summary>Ends it without.</summary>
    public void Fail(Exception exception)
    {
        _result.TrySetException(exception);
        _ = _result.Task.Exception; // whoever gave up waiting does not read it
    }
}
