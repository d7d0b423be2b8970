using Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>Engines as what Microsoft.Extensions.AI knows.</summary>
public static class AnnChatClientExtensions
{
    /// <summary>The engine as an <see cref="IChatClient"/>, which does not dispose it.</summary>
    /// <param name="engine">The engine.</param>
    public static IChatClient AsChatClient(this GenerationEngine engine) => new AnnChatClient(engine);

    /// <summary>The engine as an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/>, which does not dispose it.</summary>
    /// <param name="engine">The engine.</param>
    public static IEmbeddingGenerator<string, Embedding<float>> AsEmbeddingGenerator(this EmbeddingEngine engine) =>
        new AnnEmbeddingGenerator(engine);
}
