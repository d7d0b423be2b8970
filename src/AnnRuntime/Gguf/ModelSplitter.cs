namespace AnnRuntime.Gguf;

/// <summary>Takes search projections out of a GGUF model; merging them again gives the same model.</summary>
public static class ModelSplitter
{
    private const int MaximumLayers = 512; // llama.cpp's own limit

    /// <summary>Writes the projections as safetensors and, on request, the model without them as GGUF.</summary>
    /// <param name="modelPath">GGUF with projections.</param>
    /// <param name="projectionsPath">Safetensors file to write.</param>
    /// <param name="basePath">GGUF to write; default null: none.</param>
    /// <param name="overwrite">True replaces existing output files; default false.</param>
    /// <param name="progress">Told the bytes of the base that are written; default none.</param>
    /// <param name="cancellationToken">Ends the split; nothing is left behind.</param>
    /// <exception cref="TensorFileException">The model is not valid or holds no projections.</exception>
    /// <exception cref="IOException">An output exists or is the model itself, or the disk failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static ModelFileReport Split(
        string modelPath,
        string projectionsPath,
        string? basePath = null,
        bool overwrite = false,
        IProgress<ByteProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        using GgufFile model = GgufFile.Open(modelPath);
        string architecture = model.Metadata.RequireString("general.architecture");
        int layerCount = model.Metadata.RequireInt32($"{architecture}.block_count", 1, MaximumLayers);
        SortedDictionary<int, (GgufTensor Query, GgufTensor Key)> layers = Find(model, layerCount);
        int searchLength = RequireContract(model, architecture, layers);
        AnnSettings settings = AnnSettings.FromGguf(model.Metadata, architecture);

        using OutputFile projections = OutputFile.Create(projectionsPath, overwrite, modelPath);
        WriteProjections(model, layers, settings, projections.Stream);
        projections.Close();
        RequireReadable(projections.PartialPath, layers.Count);
        if (basePath is not null)
        {
            using OutputFile output = OutputFile.Create(basePath, overwrite, modelPath, projectionsPath);
            WriteBase(model, architecture, output, progress, cancellationToken);
            output.Commit();
        }

        projections.Commit();
        return new ModelFileReport(
            projectionsPath, architecture, layerCount, [.. layers.Keys], searchLength, settings, 2 * layers.Count,
            new FileInfo(projectionsPath).Length);
    }

    private static SortedDictionary<int, (GgufTensor Query, GgufTensor Key)> Find(GgufFile model, int layerCount)
    {
        SortedDictionary<int, (GgufTensor, GgufTensor)> layers = [];
        for (int layer = 0; layer < layerCount; layer++)
        {
            GgufTensor? query = AnnContract.QueryTensors(layer).Select(model.Find).FirstOrDefault(t => t is not null);
            GgufTensor? key = AnnContract.KeyTensors(layer).Select(model.Find).FirstOrDefault(t => t is not null);
            if (query is not null && key is not null)
            {
                layers.Add(layer, (query, key));
            }
            else if (query is not null || key is not null)
            {
                string missing = query is null ? AnnContract.QueryTensor(layer) : AnnContract.KeyTensor(layer);
                throw new TensorFileException(
                    model.Path, -1, $"tensor {missing} is missing; expected it beside {(query ?? key)!.Name}");
            }
        }

        return layers.Count > 0
            ? layers
            : throw new TensorFileException(
                model.Path, -1, "the model holds no search projections; expected tensors such as "
                    + $"{AnnContract.QueryTensor(0)}");
    }

    private static int RequireContract(
        GgufFile model, string architecture, SortedDictionary<int, (GgufTensor Query, GgufTensor Key)> layers)
    {
        if (model.Metadata.GetInteger(AnnContract.HeadCountKey(architecture)) is not (null or 1) and var heads)
        {
            throw new TensorFileException(
                model.Path, -1, $"key {AnnContract.HeadCountKey(architecture)} is {heads}; expected 1");
        }

        int searchLength = model.Metadata.RequireInt32(AnnContract.KeyLengthKey(architecture), 1, int.MaxValue);
        int embeddingLength = model.Metadata.RequireInt32($"{architecture}.embedding_length", 1, int.MaxValue);
        foreach (GgufTensor tensor in layers.Values.SelectMany(pair => new[] { pair.Query, pair.Key }))
        {
            if (!tensor.Dimensions.SequenceEqual([embeddingLength, searchLength]))
            {
                throw new TensorFileException(
                    model.Path, tensor.Offset, $"tensor {tensor.Name} has dimensions {tensor.Shape}; expected "
                        + $"{{{embeddingLength}, {searchLength}}}");
            }

            if (tensor.Type is not (TensorType.F32 or TensorType.F16 or TensorType.BF16)
                || tensor.ByteCount > Array.MaxLength)
            {
                throw new TensorFileException(
                    model.Path, tensor.Offset, $"tensor {tensor.Name} is {TensorTypes.NameOf(tensor.Type)} of "
                        + $"{tensor.ByteCount} bytes; expected f32, f16 or bf16 of at most {Array.MaxLength}");
            }
        }

        if (model.Metadata.GetIntegers(AnnContract.LayersKey) is { } listed
            && !listed.Order().SequenceEqual(layers.Keys.Select(layer => (long)layer)))
        {
            throw new TensorFileException(
                model.Path, -1, $"key {AnnContract.LayersKey} lists layers {string.Join(",", listed)}, but there "
                    + $"are projections for {string.Join(",", layers.Keys)}");
        }

        return searchLength;
    }

    private static void WriteProjections(
        GgufFile model,
        SortedDictionary<int, (GgufTensor Query, GgufTensor Key)> layers,
        AnnSettings settings,
        Stream destination)
    {
        List<(string, IReadOnlyList<long>, TensorType, ReadOnlyMemory<byte>)> tensors = [];
        foreach ((int layer, (GgufTensor query, GgufTensor key)) in layers)
        {
            long[] shape = [.. query.Dimensions.Reverse()];
            tensors.Add((ProjectionSet.QueryName(layer), shape, query.Type, Content(model, query)));
            tensors.Add((ProjectionSet.KeyName(layer), shape, key.Type, Content(model, key)));
        }

        SafetensorsWriter.Write(destination, settings.ToSafetensors(), tensors);
    }

    private static byte[] Content(GgufFile model, GgufTensor tensor)
    {
        byte[] content = new byte[tensor.ByteCount];
        model.ReadTensor(tensor, 0, content);
        return content;
    }

    private static void RequireReadable(string path, int layerCount)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (file.Tensors.Count != 2 * layerCount)
        {
            throw new IOException($"{path}: {file.Tensors.Count} tensors were read back; expected {2 * layerCount}.");
        }
    }

    private static void WriteBase(
        GgufFile model,
        string architecture,
        OutputFile output,
        IProgress<ByteProgress>? progress,
        CancellationToken cancellationToken)
    {
        GgufMetadata metadata = new(model.Metadata);
        foreach ((string key, _) in model.Metadata)
        {
            if (AnnContract.IsSearchKey(key, architecture))
            {
                _ = metadata.Remove(key);
            }
        }

        List<GgufTensor> kept = [.. model.Tensors.Where(t => !AnnContract.IsSearchTensor(t.Name))];
        List<GgufTensorSource> sources = [.. kept.Select(t => GgufTensorSource.Copy(model, t))];
        GgufWriter.Write(output.Stream, metadata, sources, progress, cancellationToken);
        output.Close();
        using GgufFile written = GgufFile.Open(output.PartialPath);
        ModelVerifier.RequireSameMetadata(metadata, written);
        ModelVerifier.RequireSameTensors(model, kept, written, cancellationToken);
    }
}
