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
    /// <exception cref="TensorFileException">The file is missing, is a folder or may not be read.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static ByteSource Open(string path) =>
        new FileSource(OpenFile(path, () => File.OpenHandle(path, share: FileShare.Read))) { Name = path };

    /// <summary>Opens a file in some way; tells a missing or forbidden file by a sentence.</summary>
    /// <exception cref="TensorFileException">The file is missing, is a folder or may not be read.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static T OpenFile<T>(string path, Func<T> open)
    {
        try
        {
            return open();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TensorFileException(path, -1, "there is no such file", e);
        }
        catch (UnauthorizedAccessException e)
        {
            string problem = Directory.Exists(path) ? "this is a folder; expected a file" : "the file may not be read";
            throw new TensorFileException(path, -1, problem, e);
        }
    }

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
