namespace AnnRuntime.Tests.Gguf;

/// <summary>A folder for one test; it goes with the test.</summary>
internal sealed class ScratchFolder : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("ann-gguf-");

    public string this[string name] => Path.Combine(_folder.FullName, name);

    /// <summary>Names of the files in the folder.</summary>
    public string[] Names => [.. _folder.EnumerateFiles().Select(f => f.Name).Order()];

    public void Dispose() => _folder.Delete(recursive: true);
}
