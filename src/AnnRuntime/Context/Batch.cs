using System.Runtime.InteropServices;

namespace AnnRuntime;

/// <summary>Tokens of one decode, each with a position, a sequence and whether its logits are wanted.</summary>
/// <remarks>May be cleared and filled again. Belongs to one thread at a time.</remarks>
public sealed class Batch
{
    private readonly List<int> _tokens = [];
    private readonly List<int> _positions = [];
    private readonly List<int> _sequences = [];
    private readonly List<sbyte> _outputs = [];

    /// <summary>Tokens added since the last clear.</summary>
    public int Count => _tokens.Count;

    internal ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);

    internal ReadOnlySpan<int> Positions => CollectionsMarshal.AsSpan(_positions);

    internal ReadOnlySpan<int> Sequences => CollectionsMarshal.AsSpan(_sequences);

    internal ReadOnlySpan<sbyte> Outputs => CollectionsMarshal.AsSpan(_outputs);

    /// <summary>Adds one token and returns its index, by which its logits are asked for.</summary>
    /// <param name="token">A token of the model's vocabulary.</param>
    /// <param name="position">Its position in the sequence, from 0.</param>
    /// <param name="sequence">Its sequence. Default 0.</param>
    /// <param name="wantLogits">Whether its logits are computed. Default false.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative token, position or sequence.</exception>
    public int Add(int token, int position, int sequence = 0, bool wantLogits = false)
    {
        ThrowIfNegative(token, nameof(token));
        ThrowIfNegative(position, nameof(position));
        ThrowIfNegative(sequence, nameof(sequence));
        _tokens.Add(token);
        _positions.Add(position);
        _sequences.Add(sequence);
        _outputs.Add(wantLogits ? (sbyte)1 : (sbyte)0);
        return _tokens.Count - 1;
    }

    /// <summary>Removes all tokens.</summary>
    public void Clear()
    {
        _tokens.Clear();
        _positions.Clear();
        _sequences.Clear();
        _outputs.Clear();
    }

    private static void ThrowIfNegative(int value, string name)
    {
        if (value < 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"The {name} is {value}; it must be at least 0.");
        }
    }
}
