using System.Globalization;

namespace AnnRuntime.Gguf;

/// <summary>Search projections of some layers of a model, in single precision.</summary>
public sealed class ProjectionSet
{
    private const string ModulePrefix = "search_module.";
    private const string NamePrefix = "projections.";
    private const string QuerySuffix = ".W_Qs.weight";
    private const string KeySuffix = ".W_Ks.weight";

    private readonly SortedDictionary<int, (float[] Query, float[] Key)> _layers = [];

    private ProjectionSet(string source, AnnSettings settings)
    {
        Source = source;
        Settings = settings;
    }

    /// <summary>File they come from.</summary>
    public string Source { get; }

    /// <summary>What the file says about the search.</summary>
    public AnnSettings Settings { get; }

    /// <summary>Elements of a search vector.</summary>
    public int SearchLength { get; private set; }

    /// <summary>Elements of the hidden state that is projected.</summary>
    public int EmbeddingLength { get; private set; }

    /// <summary>Projections by layer; each matrix is [SearchLength, EmbeddingLength], row after row.</summary>
    public IReadOnlyDictionary<int, (float[] Query, float[] Key)> Layers => _layers;

    /// <summary>Loads a safetensors file or a PyTorch checkpoint, told apart by their content.</summary>
    /// <exception cref="TensorFileException">
    /// No such file, another kind of file, or projections that do not belong together.
    /// </exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static ProjectionSet Load(string path)
    {
        using (FileStream file = ByteSource.OpenFile(path, () => File.OpenRead(path)))
        {
            if (file.ReadByte() != 'P' || file.ReadByte() != 'K')
            {
                return LoadSafetensors(path);
            }
        }

        return LoadCheckpoint(path);
    }

    /// <summary>Name of a layer's query projection in safetensors files and checkpoints.</summary>
    public static string QueryName(int layer) => $"{NamePrefix}{layer}{QuerySuffix}";

    /// <summary>Name of a layer's key projection in safetensors files and checkpoints.</summary>
    public static string KeyName(int layer) => $"{NamePrefix}{layer}{KeySuffix}";

    private static ProjectionSet LoadSafetensors(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        ProjectionSet set = new(path, AnnSettings.FromSafetensors(file.Metadata, path));
        set.Add(file.Tensors.ToDictionary(
            t => t.Key, t => new Matrix(t.Value.Shape, () => file.ReadTensor(t.Value)), StringComparer.Ordinal));
        return set;
    }

    private static ProjectionSet LoadCheckpoint(string path)
    {
        using TorchCheckpoint checkpoint = TorchCheckpoint.Open(path);
        PickleDictionary module = checkpoint.Root.GetValueOrDefault(
            "search_module") as PickleDictionary ?? checkpoint.Root;
        string? config = (checkpoint.Root.GetValueOrDefault("config") as PickleDictionary)?.ToJson();
        AnnSettings settings = config is null ? new AnnSettings() : AnnSettings.FromConfig(config);
        ProjectionSet set = new(path, settings with { Checkpoint = Path.GetFileName(path) });
        set.Add(module.Where(e => e.Value is TorchTensor).ToDictionary(
            e => e.Key,
            e => new Matrix(((TorchTensor)e.Value!).Shape, () => checkpoint.ReadMatrix(e.Key, (TorchTensor)e.Value!)),
            StringComparer.Ordinal));
        return set;
    }

    private void Add(Dictionary<string, Matrix> matrices)
    {
        foreach (string found in matrices.Keys)
        {
            bool prefixed = found.StartsWith(ModulePrefix, StringComparison.Ordinal);
            string name = prefixed ? found[ModulePrefix.Length..] : found;
            if (Layer(name, QuerySuffix) is not { } layer)
            {
                _ = Layer(name, KeySuffix) ?? throw Fail(
                    $"tensor {found} is not a search projection; expected {QueryName(0)} and {KeyName(0)}");
                continue;
            }

            string key = found[..^QuerySuffix.Length] + KeySuffix;
            if (!matrices.TryGetValue(key, out Matrix? keyMatrix))
            {
                throw Fail($"tensor {key} is missing; expected it beside {found}");
            }

            CheckShape(found, matrices[found].Shape);
            CheckShape(key, keyMatrix.Shape);
            if (!_layers.TryAdd(layer, (Read(found, matrices[found]), Read(key, keyMatrix))))
            {
                throw Fail($"layer {layer} has two query projections");
            }
        }

        if (Layers.Count == 0)
        {
            throw Fail($"no search projections; expected tensors such as {QueryName(0)} and {KeyName(0)}");
        }

        if (matrices.Count != 2 * Layers.Count)
        {
            string odd = matrices.Keys.First(n => n.EndsWith(KeySuffix, StringComparison.Ordinal)
                && !matrices.ContainsKey(n[..^KeySuffix.Length] + QuerySuffix));
            throw Fail($"tensor {odd[..^KeySuffix.Length]}{QuerySuffix} is missing; expected it beside {odd}");
        }
    }

    private static int? Layer(string name, string suffix) =>
        name.StartsWith(NamePrefix, StringComparison.Ordinal) && name.EndsWith(suffix, StringComparison.Ordinal)
            && name.Length > NamePrefix.Length + suffix.Length
            && int.TryParse(
                name[NamePrefix.Length..^suffix.Length], NumberStyles.None, CultureInfo.InvariantCulture, out int layer)
            ? layer
            : null;

    // all layers share one shape
    private void CheckShape(string name, IReadOnlyList<long> shape)
    {
        string found = $"tensor {name} has shape [{string.Join(", ", shape)}]";
        if (shape is not [long rows and > 0 and <= int.MaxValue, long columns and > 0 and <= int.MaxValue])
        {
            throw Fail($"{found}; expected [d_search, n_embd]");
        }

        if (Layers.Count == 0 && SearchLength == 0)
        {
            (SearchLength, EmbeddingLength) = ((int)rows, (int)columns);
        }

        if (rows != SearchLength || columns != EmbeddingLength)
        {
            throw Fail($"{found}; expected [{SearchLength}, {EmbeddingLength}] as the first one");
        }
    }

    private float[] Read(string name, Matrix matrix)
    {
        float[] numbers = matrix.Read();
        int bad = Array.FindIndex(numbers, x => !Half.IsFinite((Half)x));
        return bad < 0
            ? numbers
            : throw Fail(
                $"tensor {name} holds {numbers[bad].ToString(CultureInfo.InvariantCulture)} at "
                    + $"[{bad / EmbeddingLength}, {bad % EmbeddingLength}]; expected finite numbers that fit f16");
    }

    private TensorFileException Fail(string problem) => new(Source, -1, problem);

    private sealed record Matrix(IReadOnlyList<long> Shape, Func<float[]> Read);
}
