namespace AnnRuntime;

/// <summary>Saved state: the cache of one sequence or of the whole context.</summary>
/// <remarks>
/// A state has a header of its own (model shape, cache types, search keys or not) and is refused by a context that
/// differs. After a refusal the sequence, or the context, is empty.
/// </remarks>
public sealed partial class AnnContext
{
    /// <summary>The state as bytes.</summary>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    /// <exception cref="StateException">The state is larger than one array.</exception>
    public byte[] SaveState(int? sequence = null) => Handle.GetState(Number(sequence));

    /// <summary>Writes the state to a stream.</summary>
    /// <param name="stream">A writable stream.</param>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    /// <exception cref="StateException">The state is larger than one array.</exception>
    public void SaveState(Stream stream, int? sequence = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        stream.Write(SaveState(sequence));
    }

    /// <summary>Writes the state to a file, which appears whole or not at all.</summary>
    /// <param name="path">The file; one that exists is replaced.</param>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="ArgumentException">No such sequence.</exception>
    /// <exception cref="StateException">The state is larger than one array.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void SaveState(string path, int? sequence = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        byte[] state = SaveState(sequence);
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            File.WriteAllBytes(temporary, state);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Replaces a sequence, or the whole context, by a saved state.</summary>
    /// <param name="state">What <see cref="SaveState(int?)"/> returned.</param>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="StateException">Damaged, of another model, or of other cache types.</exception>
    public void RestoreState(ReadOnlySpan<byte> state, int? sequence = null)
    {
        if (state.IsEmpty)
        {
            throw new StateException("The state is empty; it must have at least the bytes of its header.");
        }

        Handle.SetState(Number(sequence), state);
    }

    /// <summary>Replaces a sequence, or the whole context, by a state read to the end of a stream.</summary>
    /// <param name="stream">A readable stream.</param>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="StateException">Damaged, of another model, or of other cache types.</exception>
    public void RestoreState(Stream stream, int? sequence = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        using var buffer = new MemoryStream();
        stream.CopyTo(buffer);
        RestoreState(buffer.GetBuffer().AsSpan(0, checked((int)buffer.Length)), sequence);
    }

    /// <summary>Replaces a sequence, or the whole context, by a state file.</summary>
    /// <param name="path">What <see cref="SaveState(string, int?)"/> wrote.</param>
    /// <param name="sequence">One sequence. Default null: the whole context.</param>
    /// <exception cref="StateException">Damaged, of another model, or of other cache types.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public void RestoreState(string path, int? sequence = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        RestoreState(File.ReadAllBytes(path), sequence);
    }

    private static int Number(int? sequence)
    {
        if (sequence < 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(sequence), sequence, $"The sequence is {sequence}; it must be at least 0, or null for the whole context.");
        }

        return sequence ?? -1;
    }
}
