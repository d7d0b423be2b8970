namespace AnnRuntime.Tests;

/// <summary>A file that is gone after the test.</summary>
internal sealed class TemporaryFile : IDisposable
{
    public TemporaryFile(byte[]? contents = null, string extension = ".gguf")
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"ann-{Guid.NewGuid():N}{extension}");
        if (contents is not null)
        {
            File.WriteAllBytes(Path, contents);
        }
    }

    public string Path { get; }

    public void Dispose() => File.Delete(Path);
}
