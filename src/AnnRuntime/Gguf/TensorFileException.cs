namespace AnnRuntime.Gguf;

/// <summary>A GGUF, safetensors or checkpoint file does not hold what it must hold.</summary>
/// <remarks>
/// The message is a sentence that names the file, the key or tensor, what was found and what was expected. It is the
/// only exception that the content of a file can cause; <see cref="IOException"/> is left for the disk itself.
/// </remarks>
public sealed class TensorFileException : InvalidModelException
{
    /// <summary>Creates the exception without a message.</summary>
    public TensorFileException()
    {
    }

    /// <summary>Creates the exception with a whole sentence as message.</summary>
    public TensorFileException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a whole sentence as message and its cause.</summary>
    public TensorFileException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Creates the exception for one place in a file.</summary>
    /// <param name="path">File, as the caller named it.</param>
    /// <param name="offset">Place in bytes from the start of the file; -1 when no single place is to blame.</param>
    /// <param name="problem">What is wrong, without the file and without a full stop.</param>
    /// <param name="innerException">Cause; default none.</param>
    public TensorFileException(string path, long offset, string problem, Exception? innerException = null)
        : base(offset < 0 ? $"{path}: {problem}." : $"{path}: {problem} (offset {offset}).", innerException!)
    {
        Path = path;
        Offset = offset;
    }

    /// <summary>File, as the caller named it; default empty.</summary>
    public string Path { get; } = "";

    /// <summary>Place in bytes from the start of the file; default -1, no single place.</summary>
    public long Offset { get; } = -1;
}
