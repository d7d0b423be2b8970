using AnnRuntime.Gguf;

namespace AnnRuntime.Cli;

/// <summary>The peer's program and a model that it can load.</summary>
internal sealed class StockModel : IDisposable
{
    private readonly string? _folder;

    private StockModel(string path, string name, string? folder) => (Path, Name, _folder) = (path, name, folder);

    /// <summary>A model without search projections.</summary>
    public string Path { get; }

    /// <summary>What records call it.</summary>
    public string Name { get; }

    /// <summary>The program of the unpatched library.</summary>
    /// <exception cref="NativeLibraryException">It is not built; the message says how to build it.</exception>
    public static string FindProgram()
    {
        string path = System.IO.Path.Combine(BenchMachine.Root, "build", "stock", "bin", "stock-bench");
        return File.Exists(path) ? path : throw new NativeLibraryException(
            "The unpatched library is not built. 'cmake --preset stock && cmake --build --preset stock --target stock-bench' "
            + "builds it in build/stock/bin.");
    }

    /// <summary>The model that is given, or the one of ours without its projections, in a temporary file.</summary>
    public static async Task<StockModel> CreateAsync(
        AnnModel model, string? given, Terminal terminal, CancellationToken cancellationToken)
    {
        if (given is not null)
        {
            return File.Exists(given)
                ? new StockModel(System.IO.Path.GetFullPath(given), BenchMachine.Shorten(System.IO.Path.GetFullPath(given)), null)
                : throw new InvalidModelException($"The model file '{given}' does not exist.");
        }

        string name = BenchMachine.Shorten(model.Path);
        if (!model.Info.HasSearch)
        {
            return new StockModel(model.Path, name, null);
        }

        string folder = Directory.CreateTempSubdirectory("ann-bench-").FullName;
        var result = new StockModel(System.IO.Path.Combine(folder, "base.gguf"), $"{name} without projections", folder);
        try
        {
            _ = await terminal.ProgressAsync("Taking the projections out for the unpatched library", step => Task.Run(() =>
                ModelSplitter.Split(
                    model.Path, System.IO.Path.Combine(folder, "projections.safetensors"), result.Path,
                    progress: new Share(step), cancellationToken: cancellationToken)));
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_folder is not null)
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private sealed class Share(Action<double> report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => report(value.Done / (double)value.Total);
    }
}
