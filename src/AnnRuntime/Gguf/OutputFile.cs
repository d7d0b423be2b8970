namespace AnnRuntime.Gguf;

/// <summary>
/// A file that appears under its name only when it is whole; a failure leaves nothing and destroys nothing.
/// </summary>
internal sealed class OutputFile : IDisposable
{
    private readonly string _path;
    private readonly bool _overwrite;
    private bool _committed;

    private OutputFile(string path, bool overwrite)
    {
        _path = path;
        _overwrite = overwrite;
        PartialPath = $"{path}.{Environment.ProcessId}.partial";
        Stream = new FileStream(PartialPath, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 1 << 20);
    }

    /// <summary>Name of the file until <see cref="Commit"/>: the path, the process and ".partial".</summary>
    public string PartialPath { get; }

    /// <summary>Takes the content.</summary>
    public FileStream Stream { get; }

    /// <summary>Starts a file.</summary>
    /// <exception cref="IOException">
    /// The path exists and may not be overwritten, is an input, or cannot be written.
    /// </exception>
    public static OutputFile Create(string path, bool overwrite, params ReadOnlySpan<string> inputs)
    {
        foreach (string input in inputs)
        {
            if (Path.GetFullPath(input) == Path.GetFullPath(path))
            {
                throw new IOException($"{path} is an input; write to another file.");
            }
        }

        RefuseExisting(path, overwrite);
        return new OutputFile(path, overwrite);
    }

    /// <summary>Ends the writing; the file keeps its partial name, so that it can be read back.</summary>
    public void Close() => Stream.Dispose();

    /// <summary>Gives the file its name.</summary>
    /// <exception cref="IOException">
    /// The path has come to exist and may not be overwritten, or the disk failed.
    /// </exception>
    public void Commit()
    {
        Stream.Dispose();
        RefuseExisting(_path, _overwrite);
        File.Move(PartialPath, _path, _overwrite);
        _committed = true;
    }

    /// <summary>Removes what was written, unless it was committed.</summary>
    public void Dispose()
    {
        try
        {
            Stream.Dispose(); // flushes, and so can fail on a full disk
        }
        finally
        {
            if (!_committed)
            {
                File.Delete(PartialPath);
            }
        }
    }

    private static void RefuseExisting(string path, bool overwrite)
    {
        if (Directory.Exists(path))
        {
            throw new IOException($"{path} is a folder; expected the name of a file.");
        }

        if (!overwrite && File.Exists(path))
        {
            throw new IOException($"{path} exists; overwriting it must be asked for (--force).");
        }
    }
}
