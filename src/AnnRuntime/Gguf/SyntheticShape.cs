namespace AnnRuntime.Gguf;

/// <summary>The shape of a model to synthesise: what decides its speed.</summary>
public sealed record SyntheticShape
{
    /// <summary>The shapes that can be asked for, in the order of the help text.</summary>
    /// <remarks>Source: config.json of the published models; tiny is ours, for tests.</remarks>
    public static IReadOnlyList<SyntheticShape> All { get; } =
    [
        new()
        {
            Name = "qwen3-0.6b", Architecture = "qwen3", LayerCount = 28, EmbeddingLength = 1024, HeadCount = 16,
            KeyValueHeadCount = 8, HeadLength = 128, FeedForwardLength = 3072, VocabularySize = 151936,
            TiedEmbeddings = true, RopeFrequencyBase = 1e6f, RmsEpsilon = 1e-6f,
        },
        new()
        {
            Name = "qwen3-4b", Architecture = "qwen3", LayerCount = 36, EmbeddingLength = 2560, HeadCount = 32,
            KeyValueHeadCount = 8, HeadLength = 128, FeedForwardLength = 9728, VocabularySize = 151936,
            TiedEmbeddings = true, RopeFrequencyBase = 1e6f, RmsEpsilon = 1e-6f,
        },
        new()
        {
            Name = "qwen3-8b", Architecture = "qwen3", LayerCount = 36, EmbeddingLength = 4096, HeadCount = 32,
            KeyValueHeadCount = 8, HeadLength = 128, FeedForwardLength = 12288, VocabularySize = 151936,
            TiedEmbeddings = false, RopeFrequencyBase = 1e6f, RmsEpsilon = 1e-6f,
        },
        new()
        {
            Name = "llama3-8b", Architecture = "llama", LayerCount = 32, EmbeddingLength = 4096, HeadCount = 32,
            KeyValueHeadCount = 8, HeadLength = 128, FeedForwardLength = 14336, VocabularySize = 128256,
            TiedEmbeddings = false, RopeFrequencyBase = 5e5f, RmsEpsilon = 1e-5f,
        },
        new()
        {
            Name = "tiny", Architecture = "qwen3", LayerCount = 4, EmbeddingLength = 256, HeadCount = 4,
            KeyValueHeadCount = 2, HeadLength = 64, FeedForwardLength = 512, VocabularySize = 512,
            TiedEmbeddings = true, RopeFrequencyBase = 1e6f, RmsEpsilon = 1e-6f,
        },
    ];

    /// <summary>Name on the command line.</summary>
    public required string Name { get; init; }

    /// <summary>llama.cpp's architecture, <c>qwen3</c> or <c>llama</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Layers.</summary>
    public required int LayerCount { get; init; }

    /// <summary>Elements of the hidden state, n_embd.</summary>
    public required int EmbeddingLength { get; init; }

    /// <summary>Query heads.</summary>
    public required int HeadCount { get; init; }

    /// <summary>Key and value heads.</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>Elements of one head.</summary>
    public required int HeadLength { get; init; }

    /// <summary>Elements of the hidden layer of the feed-forward network.</summary>
    public required int FeedForwardLength { get; init; }

    /// <summary>Tokens.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>True when the output projection is the token embedding.</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>Base of the angles of the model's own RoPE.</summary>
    public required float RopeFrequencyBase { get; init; }

    /// <summary>Epsilon of RMSNorm.</summary>
    public required float RmsEpsilon { get; init; }

    /// <summary>The shape of a name.</summary>
    /// <exception cref="ArgumentException">No such shape; the message lists them.</exception>
    public static SyntheticShape Of(string name) =>
        All.FirstOrDefault(shape => shape.Name == name)
        ?? throw new ArgumentException(
            $"There is no shape '{name}'; expected {string.Join(", ", All.Select(s => s.Name))}.");
}
