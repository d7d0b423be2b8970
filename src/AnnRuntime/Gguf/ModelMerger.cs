namespace AnnRuntime.Gguf;

/// <summary>Puts search projections into a GGUF model.</summary>
/// <remarks>
/// Keys and tensors of the base come first and are byte-identical; ours follow. See <see cref="AnnContract"/>.
/// </remarks>
public static class ModelMerger
{
    /// <summary>d_search is a multiple of this: search keys may be stored as q8_0, in blocks of 32.</summary>
    internal const int SearchLengthUnit = 32;

    /// <summary>Largest d_search that the runtime accepts.</summary>
    internal const int MaximumSearchLength = 1024;

    private const int MaximumLayers = 512; // llama.cpp's own limit

    /// <summary>Merges, reads the result back, and only then gives it its name.</summary>
    /// <param name="basePath">GGUF without projections.</param>
    /// <param name="projectionsPath">Projections, safetensors or PyTorch checkpoint.</param>
    /// <param name="outputPath">GGUF to write; it must not be an input.</param>
    /// <param name="options">Layers and settings.</param>
    /// <param name="progress">Told the bytes written; default none.</param>
    /// <param name="cancellationToken">Ends the merge; nothing is left behind.</param>
    /// <exception cref="TensorFileException">
    /// A file is not valid, or base and projections do not belong together.
    /// </exception>
    /// <exception cref="ArgumentException">A layer or a setting is out of range.</exception>
    /// <exception cref="IOException">The output exists, or the disk failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static ModelFileReport Merge(
        string basePath,
        string projectionsPath,
        string outputPath,
        MergeOptions options,
        IProgress<ByteProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        using GgufFile model = GgufFile.Open(basePath);
        string architecture = RequireModel(model);
        ProjectionSet projections = ProjectionSet.Load(projectionsPath);
        int layerCount = model.Metadata.RequireInt32($"{architecture}.block_count", 1, MaximumLayers);
        CheckShape(model, architecture, projections);
        int[] layers = SelectLayers(options.Layers, layerCount, projections);
        AnnSettings settings = options.Settings.Or(projections.Settings);
        settings.Check(projections.SearchLength);

        GgufMetadata metadata = new(model.Metadata);
        settings.WriteTo(metadata, architecture, projections.SearchLength, layers);
        List<GgufTensorSource> tensors = [.. model.Tensors.Select(t => GgufTensorSource.Copy(model, t))];
        tensors.AddRange(layers.SelectMany(layer => Tensors(layer, projections)));

        using OutputFile output = OutputFile.Create(outputPath, options.Overwrite, basePath, projectionsPath);
        GgufWriter.Write(output.Stream, metadata, tensors, progress, cancellationToken);
        output.Close();
        using (GgufFile written = GgufFile.Open(output.PartialPath))
        {
            ModelVerifier.RequireSameMetadata(metadata, written);
            ModelVerifier.RequireSameTensors(model, model.Tensors, written, cancellationToken);
            RequireProjections(projections, layers, written);
        }

        output.Commit();
        return new ModelFileReport(
            outputPath, architecture, layerCount, layers, projections.SearchLength,
            AnnSettings.FromGguf(metadata, architecture), tensors.Count, new FileInfo(outputPath).Length);
    }

    /// <summary>True for a d_search that the runtime accepts.</summary>
    internal static bool IsSearchLength(int length) =>
        length is > 0 and <= MaximumSearchLength && length % SearchLengthUnit == 0;

    private static string RequireModel(GgufFile model)
    {
        string architecture = model.Metadata.RequireString("general.architecture");
        if (model.Metadata.GetInteger("split.count") is > 1 and var parts)
        {
            throw new TensorFileException(
                model.Path, -1, $"this is one of {parts} parts of a model (key split.count); expected a model in "
                    + "one file");
        }

        if (model.Tensors.FirstOrDefault(t => AnnContract.IsSearchTensor(t.Name)) is { } tensor)
        {
            throw new TensorFileException(
                model.Path, -1, $"the model already holds search projections (tensor {tensor.Name}); 'ann split' "
                    + "takes them out");
        }

        foreach ((string key, _) in model.Metadata)
        {
            if (AnnContract.IsSearchKey(key, architecture))
            {
                throw new TensorFileException(
                    model.Path, -1, $"the model already describes a search (key {key}); 'ann split' takes it out");
            }
        }

        return architecture;
    }

    private static void CheckShape(GgufFile model, string architecture, ProjectionSet projections)
    {
        int expected = model.Metadata.RequireInt32($"{architecture}.embedding_length", 1, int.MaxValue);
        string found = $"the projections are [{projections.SearchLength}, {projections.EmbeddingLength}]";
        if (projections.EmbeddingLength != expected)
        {
            string hint = projections.SearchLength == expected ? "; they look transposed" : "";
            throw new TensorFileException(
                projections.Source, -1, $"{found}; expected [d_search, {expected}], as n_embd of {model.Path} is "
                    + $"{expected}{hint}");
        }

        if (!IsSearchLength(projections.SearchLength))
        {
            throw new TensorFileException(
                projections.Source, -1, $"{found}; expected d_search to be a multiple of {SearchLengthUnit} up to "
                    + $"{MaximumSearchLength}");
        }
    }

    private static int[] SelectLayers(string? list, int layerCount, ProjectionSet projections)
    {
        int last = projections.Layers.Keys.Max();
        if (last >= layerCount)
        {
            throw new TensorFileException(
                projections.Source, -1, $"there are projections for layer {last}; expected layers "
                    + $"0..{layerCount - 1}, as the model has {layerCount}");
        }

        if (list is null || list.Trim() == "all")
        {
            return [.. projections.Layers.Keys];
        }

        int[] layers = LayerList.Parse(list, layerCount);
        if (layers.Length == 0)
        {
            throw new ArgumentException($"Layers '{list}' name no layer.");
        }

        foreach (int layer in layers)
        {
            if (!projections.Layers.ContainsKey(layer))
            {
                throw new TensorFileException(
                    projections.Source, -1, $"there are no projections for layer {layer}; the file holds layers "
                        + $"{string.Join(",", projections.Layers.Keys)}");
            }
        }

        return layers;
    }

    private static IEnumerable<GgufTensorSource> Tensors(int layer, ProjectionSet projections)
    {
        long[] dimensions = [projections.EmbeddingLength, projections.SearchLength];
        (float[] query, float[] key) = projections.Layers[layer];
        yield return new(AnnContract.QueryTensor(layer), dimensions, TensorType.F16, s => s.Write(ToHalf(query)));
        yield return new(AnnContract.KeyTensor(layer), dimensions, TensorType.F16, s => s.Write(ToHalf(key)));
    }

    private static byte[] ToHalf(float[] numbers)
    {
        byte[] content = new byte[numbers.Length * 2];
        TensorConverter.FromSingle(TensorType.F16, numbers, content);
        return content;
    }

    private static void RequireProjections(ProjectionSet projections, int[] layers, GgufFile written)
    {
        foreach (GgufTensorSource expected in layers.SelectMany(layer => Tensors(layer, projections)))
        {
            using MemoryStream content = new();
            expected.WriteContent(content);
            ModelVerifier.RequireContent(expected.Name, content.GetBuffer().AsSpan(0, (int)content.Length), written);
        }
    }
}
