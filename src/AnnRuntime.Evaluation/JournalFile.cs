using System.Security.Cryptography;
using System.Text;

namespace AnnRuntime.Evaluation;

/// <summary>A file of JSON lines that grows while a run goes on. A line that an interruption cut off is removed.</summary>
internal sealed class JournalFile : IDisposable
{
    private readonly FileStream _file;

    /// <summary>Opens or begins a file; its folder is made where it is missing.</summary>
    /// <exception cref="IOException">The file cannot be read or written, or another run has it open.</exception>
    public JournalFile(string path)
    {
        if (System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path)) is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        byte[] bytes = new byte[_file.Length];
        _file.ReadExactly(bytes);
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        _file.SetLength(end);
        _file.Position = end;
        Lines = Encoding.UTF8.GetString(bytes, 0, end).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>Whole lines that were found.</summary>
    public IReadOnlyList<string> Lines { get; }

    /// <summary>Adds a line; it is on the disk when this returns.</summary>
    public void Add(string line)
    {
        _file.Write(Encoding.UTF8.GetBytes(line + "\n"));
        _file.Flush(flushToDisk: true);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    /// <summary>Tells model files apart by size, first and last megabyte: one of many gigabytes is not read for it.</summary>
    public static string Fingerprint(AnnModel model)
    {
        const int Part = 1 << 20;
        using FileStream file = File.OpenRead(model.Path);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(BitConverter.GetBytes(file.Length));
        byte[] part = new byte[Part];
        foreach (long offset in (long[])[0, Math.Max(0, file.Length - Part)])
        {
            file.Position = offset;
            hash.AppendData(part, 0, file.ReadAtLeast(part, Part, throwOnEndOfStream: false));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
