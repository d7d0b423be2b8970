namespace AnnRuntime.Gguf;

/// <summary>How far writing a file has come.</summary>
/// <param name="Done">Bytes written.</param>
/// <param name="Total">Bytes of the whole file.</param>
public readonly record struct ByteProgress(long Done, long Total);
