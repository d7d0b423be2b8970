using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Chooses tokens from the logits of a context.</summary>
/// <remarks>Belongs to the thread of its context. The model may be disposed before it.</remarks>
public sealed class Sampler : IDisposable
{
    private readonly SamplerHandle _handle;

    /// <summary>Creates a chain.</summary>
    /// <param name="model">The model whose tokens are sampled.</param>
    /// <param name="options">Default: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, random seed.</param>
    /// <exception cref="ArgumentException">
    /// A grammar that cannot be parsed or does not begin with its prefix, a trigger that is no regular expression, or a bias or
    /// trigger of an unknown token.
    /// </exception>
    public Sampler(AnnModel model, SamplingOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new SamplingOptions();
        int[] tokens = [.. options.LogitBias?.Keys ?? []];
        float[] values = [.. options.LogitBias?.Values ?? []];
        _handle = SamplerHandle.Create(
            model.Handle, options.ToNative(), tokens, values, options.Grammar, options.GrammarPrefix,
            options.GrammarTriggerPatterns, [.. options.GrammarTriggerTokens]);
    }

    private SamplerHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            return _handle;
        }
    }

    /// <summary>Chooses a token and accepts it.</summary>
    /// <param name="context">A context that has decoded.</param>
    /// <param name="index">Index in the batch. Default -1: the last output.</param>
    /// <exception cref="ArgumentException">No logits were computed for this index.</exception>
    public int Sample(AnnContext context, int index = -1)
    {
        ArgumentNullException.ThrowIfNull(context);
        return Handle.Sample(context.Handle, index);
    }

    /// <summary>Tells the penalties of a token that was not sampled, such as one of the prompt.</summary>
    /// <param name="token">A token of the vocabulary.</param>
    public void Accept(int token) => Handle.Accept(token);

    /// <summary>Forgets all accepted tokens.</summary>
    public void Reset() => Handle.Reset();

    /// <summary>Frees the chain.</summary>
    public void Dispose() => _handle.Dispose();
}
