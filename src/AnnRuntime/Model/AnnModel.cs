using System.Text.Json;
using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>A loaded model: weights, tokenizer, chat template.</summary>
/// <remarks>
/// Any number of threads may use it. It may be disposed before its contexts; the memory goes with the last of them.
/// Every method throws <see cref="ObjectDisposedException"/> after <see cref="Dispose"/>.
/// </remarks>
public sealed class AnnModel : IDisposable
{
    private readonly ModelHandle _handle;

    private AnnModel(ModelHandle handle, string path, byte[] fingerprint, DateTimeOffset written)
    {
        _handle = handle;
        Path = path;
        Fingerprint = fingerprint;
        Written = written;
        Info = ModelInfo.FromNative(handle.GetInfo());
        SearchedLayers = handle.GetSearchLayers(Info.SearchedLayers);
        Tokenizer = new Tokenizer(this);
        ChatTemplate = new ChatTemplate(this);
    }

    /// <summary>The file it was loaded from.</summary>
    public string Path { get; }

    /// <summary>When the file was last written, as it was when it was loaded.</summary>
    public DateTimeOffset Written { get; }

    /// <summary>Shape of the model and of its search.</summary>
    public ModelInfo Info { get; }

    /// <summary>Layers with search projections, ascending. All others are reserved: they attend to all cells.</summary>
    public IReadOnlyList<int> SearchedLayers { get; }

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>Messages to a prompt, an answer to a message.</summary>
    public ChatTemplate ChatTemplate { get; }

    /// <summary>Of the file that was loaded: another may lie under its path by now.</summary>
    internal byte[] Fingerprint { get; }

    /// <summary>The handle, or an exception after <see cref="Dispose"/>.</summary>
    internal ModelHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            return _handle;
        }
    }

    /// <summary>Loads a GGUF file on a thread of its own.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">Default: all layers on GPUs where there are any, the file mapped.</param>
    /// <param name="progress">Gets 0..1 on the loading thread; what it throws ends the load.</param>
    /// <param name="cancellationToken">Stops the load.</param>
    /// <exception cref="InvalidModelException">Missing, truncated, malformed, or with wrong tensors.</exception>
    /// <exception cref="UnsupportedModelException">This architecture cannot be loaded, or not with projections.</exception>
    /// <exception cref="NotEnoughMemoryException">The weights do not fit.</exception>
    /// <exception cref="NativeLibraryException">The native library cannot be loaded.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<AnnModel> LoadAsync(
        string path, ModelOptions? options = null, IProgress<float>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Task.Factory.StartNew(
            () => Load(path, options, progress, cancellationToken),
            cancellationToken,
            TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
            TaskScheduler.Default);
    }

    /// <summary>Loads a GGUF file on the calling thread.</summary>
    /// <inheritdoc cref="LoadAsync"/>
    public static AnnModel Load(
        string path, ModelOptions? options = null, IProgress<float>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = System.IO.Path.GetFullPath(path);
        if (!File.Exists(full))
        {
            string reason = Directory.Exists(full) ? "is a directory, not a model file" : "does not exist";
            throw new InvalidModelException($"The model file '{path}' {reason}.");
        }

        byte[] fingerprint;
        DateTimeOffset written = File.GetLastWriteTimeUtc(full);
        try
        {
            fingerprint = FileFingerprint.Of(full);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidModelException($"The model file '{path}' cannot be read: {exception.Message}", exception);
        }

        ModelHandle handle = ModelHandle.Load(
            full, (options ?? new ModelOptions()).ToNative(), progress is null ? null : progress.Report, cancellationToken);
        try
        {
            return new AnnModel(handle, full, fingerprint, written);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>What the library knows of the file: metadata, provenance of the search, bytes per token.</summary>
    public ModelDescription Describe() =>
        JsonSerializer.Deserialize(Handle.Describe(), AnnJsonContext.Default.ModelDescription)
        ?? throw new AnnRuntimeException("The native library described the model as null.");

    /// <summary>Memory that <see cref="CreateContext"/> would take, before anything is allocated.</summary>
    /// <param name="options">Default: the model's training length, caches in f16.</param>
    /// <exception cref="ArgumentException">A value is out of the model's range.</exception>
    /// <exception cref="UnsupportedModelException">The model cannot serve the options.</exception>
    public MemoryEstimate EstimateMemory(ContextOptions? options = null)
    {
        options ??= new ContextOptions();
        return MemoryEstimate.FromNative(ContextHandle.Estimate(Handle, options.ToNative(), options.LayerArray));
    }

    /// <summary>Creates a context.</summary>
    /// <param name="options">Default: the model's training length, caches in f16, search as the file says.</param>
    /// <exception cref="ArgumentException">A value is out of the model's range, or a layer has no projections.</exception>
    /// <exception cref="UnsupportedModelException">The model cannot serve the options.</exception>
    /// <exception cref="NotEnoughMemoryException">The estimate exceeds the free memory, or an allocation failed.</exception>
    public AnnContext CreateContext(ContextOptions? options = null) => new(this, options ?? new ContextOptions());

    /// <summary>Gives the weights up; contexts that still live keep them until they are disposed.</summary>
    public void Dispose() => _handle.Dispose();
}
