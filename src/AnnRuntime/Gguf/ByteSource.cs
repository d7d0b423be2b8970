using Microsoft.Win32.SafeHandles;

namespace AnnRuntime.Gguf;

/// <summary>Random access to the bytes of a file or of memory; safe to read from several threads.</summary>
internal abstract class ByteSource : IDisposable
{
    /// <summary>Name for messages: the path, or what the caller called the bytes.</summary>
    public required string Name { get; init; }

    /// <summary>Bytes there are.</summary>
    public abstract long Length { get; }

    /// <summary>Opens a file for shared reading; nothing is read yet.</summary>
    /// <exception cref="IOException">The file is missing or cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read, or is a folder.</exception>
    public static ByteSource Open(string path) =>
        new FileSource(File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read)) { Name = path };

    /// <summary>Wraps bytes without copying them.</summary>
    public static ByteSource FromMemory(ReadOnlyMemory<byte> bytes, string name) =>
        new MemorySource(bytes) { Name = name };

    /// <summary>Fills the whole destination from an offset.</summary>
    /// <exception cref="TensorFileException">The source ends before the destination is full.</exception>
    public void ReadExactly(Span<byte> destination, long offset)
    {
        long end = offset + destination.Length;
        while (destination.Length > 0)
        {
            int n = offset < 0 ? 0 : Read(destination, offset);
            if (n == 0)
            {
                throw new TensorFileException(Name, offset, $"bytes up to {end} are needed, but the file ends here");
            }

            destination = destination[n..];
            offset += n;
        }
    }

    /// <summary>Reads at most the destination's length; 0 at the end.</summary>
    protected abstract int Read(Span<byte> destination, long offset);

    /// <summary>Closes the file.</summary>
    public abstract void Dispose();

    private sealed class FileSource(SafeFileHandle handle) : ByteSource
    {
        public override long Length { get; } = RandomAccess.GetLength(handle);

        public override void Dispose() => handle.Dispose();

        protected override int Read(Span<byte> destination, long offset) =>
            RandomAccess.Read(handle, destination, offset);
    }

    private sealed class MemorySource(ReadOnlyMemory<byte> bytes) : ByteSource
    {
        public override long Length => bytes.Length;

        public override void Dispose()
        {
        }

        protected override int Read(Span<byte> destination, long offset)
        {
            if (offset >= bytes.Length)
            {
                return 0;
            }

            ReadOnlySpan<byte> rest = bytes.Span[(int)offset..];
            int n = Math.Min(rest.Length, destination.Length);
            rest[..n].CopyTo(destination);
            return n;
        }
    }
}
