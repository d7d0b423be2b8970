namespace AnnRuntime.Gguf;

/// <summary>
/// Writes a model of random weights that has the exact shape of a published one, for measuring speed.
/// </summary>
/// <remarks>Its name says what it is. It loads, tokenizes bytes and generates nonsense.</remarks>
public static class SyntheticModel
{
    /// <summary>Writes the file; it appears under its name only when it is whole.</summary>
    /// <param name="path">GGUF to write.</param>
    /// <param name="options">Shape, types, layers and settings.</param>
    /// <param name="progress">Told the bytes written; default none.</param>
    /// <param name="cancellationToken">Ends the writing; nothing is left behind.</param>
    /// <exception cref="ArgumentException">A type, a layer, a length or a setting is out of range.</exception>
    /// <exception cref="IOException">The file exists, or the disk failed or is full.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static ModelFileReport Write(
        string path,
        SyntheticOptions options,
        IProgress<ByteProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        SyntheticShape shape = options.Shape;
        int[] layers = LayerList.Parse(options.AnnLayers, shape.LayerCount);
        Check(options, layers);
        GgufMetadata metadata = BuildMetadata(options, layers);
        List<GgufTensorSource> tensors = BuildTensors(options, layers);

        using OutputFile output = OutputFile.Create(path, options.Overwrite);
        GgufWriter.Write(output.Stream, metadata, tensors, progress, cancellationToken);
        output.Close();
        using (GgufFile written = GgufFile.Open(output.PartialPath))
        {
            ModelVerifier.RequireSameMetadata(metadata, written);
        }

        output.Commit();
        return new ModelFileReport(
            path, shape.Architecture, shape.LayerCount, layers, layers.Length > 0 ? options.SearchLength : 0,
            AnnSettings.FromGguf(metadata, shape.Architecture), tensors.Count, new FileInfo(path).Length);
    }

    private static void Check(SyntheticOptions options, int[] layers)
    {
        if (options.Type is not (TensorType.F16 or TensorType.Q8_0 or TensorType.Q4_0))
        {
            throw new ArgumentException($"type is {options.Type}; expected F16, Q8_0 or Q4_0.");
        }

        if (options.ContextLength < 1)
        {
            throw new ArgumentException($"context length is {options.ContextLength}; expected at least 1.");
        }

        if (layers.Length == 0)
        {
            return;
        }

        if (!ModelMerger.IsSearchLength(options.SearchLength))
        {
            throw new ArgumentException(
                $"d-search is {options.SearchLength}; expected a multiple of {ModelMerger.SearchLengthUnit} up to "
                    + $"{ModelMerger.MaximumSearchLength}.");
        }

        options.Settings.Check(options.SearchLength);
    }

    private static GgufMetadata BuildMetadata(SyntheticOptions options, int[] layers)
    {
        SyntheticShape shape = options.Shape;
        string architecture = shape.Architecture;
        GgufMetadata metadata = new(options.Shape.Name)
        {
            ["general.architecture"] = GgufValue.From(architecture),
            ["general.type"] = GgufValue.From("model"),
            ["general.name"] = GgufValue.From($"{shape.Name} (random weights, for speed only)"),
            ["general.description"] = GgufValue.From(
                $"Random weights in the shape of {shape.Name}, seed {options.Seed}. For measuring speed only: its "
                    + "text means nothing."),
            ["general.file_type"] = GgufValue.From(FileType(options.Type)),
            ["general.quantization_version"] = GgufValue.From(2u),
            [$"{architecture}.context_length"] = GgufValue.From((uint)options.ContextLength),
            [$"{architecture}.embedding_length"] = GgufValue.From((uint)shape.EmbeddingLength),
            [$"{architecture}.block_count"] = GgufValue.From((uint)shape.LayerCount),
            [$"{architecture}.feed_forward_length"] = GgufValue.From((uint)shape.FeedForwardLength),
            [$"{architecture}.attention.head_count"] = GgufValue.From((uint)shape.HeadCount),
            [$"{architecture}.attention.head_count_kv"] = GgufValue.From((uint)shape.KeyValueHeadCount),
            [$"{architecture}.attention.key_length"] = GgufValue.From((uint)shape.HeadLength),
            [$"{architecture}.attention.value_length"] = GgufValue.From((uint)shape.HeadLength),
            [$"{architecture}.attention.layer_norm_rms_epsilon"] = GgufValue.From(shape.RmsEpsilon),
            [$"{architecture}.rope.freq_base"] = GgufValue.From(shape.RopeFrequencyBase),
            [$"{architecture}.rope.dimension_count"] = GgufValue.From((uint)shape.HeadLength),
            [$"{architecture}.vocab_size"] = GgufValue.From((uint)shape.VocabularySize),
        };
        SyntheticVocabulary.WriteTo(metadata, shape.VocabularySize, architecture == "llama" ? "llama-bpe" : "qwen2");
        if (layers.Length > 0)
        {
            AnnSettings settings = options.Settings.Or(
                new AnnSettings { Checkpoint = "random weights, for speed only" });
            settings.WriteTo(metadata, architecture, options.SearchLength, layers);
        }

        return metadata;
    }

    // llama.cpp's llama_ftype
    private static uint FileType(TensorType type) => type switch
    {
        TensorType.F16 => 1,
        TensorType.Q4_0 => 2,
        _ => 7,
    };

    /// <summary>The tensors of a model, without writing them.</summary>
    internal static List<GgufTensorSource> BuildTensors(SyntheticOptions options, int[] layers)
    {
        SyntheticShape shape = options.Shape;
        int embedding = shape.EmbeddingLength;
        int query = shape.HeadCount * shape.HeadLength;
        int keyValue = shape.KeyValueHeadCount * shape.HeadLength;
        List<GgufTensorSource> tensors = [Matrix("token_embd.weight", embedding, shape.VocabularySize)];
        for (int layer = 0; layer < shape.LayerCount; layer++)
        {
            string block = $"blk.{layer}.";
            tensors.Add(SyntheticContent.Norm($"{block}attn_norm.weight", embedding));
            tensors.Add(Matrix($"{block}attn_q.weight", embedding, query));
            tensors.Add(Matrix($"{block}attn_k.weight", embedding, keyValue));
            tensors.Add(Matrix($"{block}attn_v.weight", embedding, keyValue));
            tensors.Add(Matrix($"{block}attn_output.weight", query, embedding));
            if (shape.Architecture == "qwen3")
            {
                tensors.Add(SyntheticContent.Norm($"{block}attn_q_norm.weight", shape.HeadLength));
                tensors.Add(SyntheticContent.Norm($"{block}attn_k_norm.weight", shape.HeadLength));
            }

            tensors.Add(SyntheticContent.Norm($"{block}ffn_norm.weight", embedding));
            tensors.Add(Matrix($"{block}ffn_gate.weight", embedding, shape.FeedForwardLength));
            tensors.Add(Matrix($"{block}ffn_up.weight", embedding, shape.FeedForwardLength));
            tensors.Add(Matrix($"{block}ffn_down.weight", shape.FeedForwardLength, embedding));
        }

        tensors.Add(SyntheticContent.Norm("output_norm.weight", embedding));
        if (!shape.TiedEmbeddings)
        {
            tensors.Add(Matrix("output.weight", embedding, shape.VocabularySize));
        }

        foreach (int layer in layers)
        {
            tensors.Add(Projection(AnnContract.QueryTensor(layer)));
            tensors.Add(Projection(AnnContract.KeyTensor(layer)));
        }

        return tensors;

        GgufTensorSource Matrix(string name, int columns, int rows) =>
            SyntheticContent.Matrix(name, columns, rows, options.Type, options.Seed);

        GgufTensorSource Projection(string name) =>
            SyntheticContent.Matrix(name, embedding, options.SearchLength, TensorType.F16, options.Seed);
    }
}
