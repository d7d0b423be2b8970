namespace AnnRuntime;

/// <summary>Operations on sequences. Search keys follow K and V in all of them.</summary>
/// <remarks>
/// A range goes from position <c>from</c> (inclusive; negative: the start) to <c>to</c> (exclusive; negative: the end).
/// </remarks>
public sealed partial class AnnContext
{
    /// <summary>Empties the whole cache.</summary>
    public void Clear() => Handle.Clear();

    /// <summary>Removes a range of positions of a sequence.</summary>
    /// <param name="sequence">The sequence; negative: all.</param>
    /// <param name="from">First position. Default -1: the start.</param>
    /// <param name="to">Position behind the last. Default -1: the end.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    /// <exception cref="UnsupportedModelException">The model cannot forget a part.</exception>
    public void RemoveSequence(int sequence, int from = -1, int to = -1) => Handle.RemoveSequence(sequence, from, to);

    /// <summary>Lets <paramref name="target"/> share a range of <paramref name="source"/>'s cells.</summary>
    /// <param name="source">The sequence that has the cells.</param>
    /// <param name="target">The sequence that gets them too.</param>
    /// <param name="from">First position. Default -1: the start.</param>
    /// <param name="to">Position behind the last. Default -1: the end.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    public void CopySequence(int source, int target, int from = -1, int to = -1) =>
        Handle.CopySequence(source, target, from, to);

    /// <summary>Removes every other sequence.</summary>
    /// <param name="sequence">The one that stays.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    public void KeepSequence(int sequence) => Handle.KeepSequence(sequence);

    /// <summary>Adds <paramref name="delta"/> to positions; K and rotated search keys are re-rotated.</summary>
    /// <param name="sequence">The sequence.</param>
    /// <param name="from">First position; negative: the start.</param>
    /// <param name="to">Position behind the last; negative: the end.</param>
    /// <param name="delta">Positions to add, may be negative.</param>
    /// <exception cref="ArgumentException">No such sequence, or a position would be negative.</exception>
    /// <exception cref="UnsupportedModelException">The model cannot shift (<see cref="ModelInfo.CanShift"/>).</exception>
    public void ShiftSequence(int sequence, int from, int to, int delta) =>
        Handle.ShiftSequence(sequence, from, to, delta);

    /// <summary>Divides positions by <paramref name="divisor"/>, rounding down.</summary>
    /// <param name="sequence">The sequence.</param>
    /// <param name="from">First position; negative: the start.</param>
    /// <param name="to">Position behind the last; negative: the end.</param>
    /// <param name="divisor">At least 1.</param>
    /// <exception cref="ArgumentException">No such sequence, or a divisor below 1.</exception>
    /// <exception cref="UnsupportedModelException">The model cannot shift (<see cref="ModelInfo.CanShift"/>).</exception>
    public void DivideSequence(int sequence, int from, int to, int divisor) =>
        Handle.DivideSequence(sequence, from, to, divisor);

    /// <summary>First and last position of a sequence, both -1 when it is empty.</summary>
    /// <param name="sequence">The sequence.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    public (int First, int Last) GetSequenceRange(int sequence) => Handle.GetSequenceRange(sequence);
}
