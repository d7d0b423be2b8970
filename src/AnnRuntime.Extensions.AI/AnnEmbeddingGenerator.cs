using Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>An engine as an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/>.</summary>
/// <remarks>
/// Any number of threads may use it; inputs of all callers share batches. <see cref="EmbeddingGenerationOptions.Dimensions"/>
/// keeps the first values, normalised again. Disposing it leaves the engine alone.
/// </remarks>
/// <param name="engine">The engine; the generator does not dispose it.</param>
public sealed class AnnEmbeddingGenerator(EmbeddingEngine engine) : IEmbeddingGenerator<string, Embedding<float>>
{
    private readonly EmbeddingEngine _engine = engine ?? throw new ArgumentNullException(nameof(engine));
    private readonly EmbeddingGeneratorMetadata _metadata = new(
        "ann_runtime", new Uri(engine.Model.Path), Path.GetFileNameWithoutExtension(engine.Model.Path), engine.Dimensions);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">A text without tokens, or dimensions out of range.</exception>
    /// <exception cref="ContextFullException">A text with too many tokens; nothing was computed.</exception>
    /// <exception cref="EngineBusyException">Too many inputs wait.</exception>
    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
        IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        int[][] inputs = [.. values.Select(value => _engine.Model.Tokenizer.Tokenize(value))];
        IReadOnlyList<float[]> vectors = await _engine.EmbedAsync(inputs, options?.Dimensions, cancellationToken).ConfigureAwait(false);
        DateTimeOffset created = DateTimeOffset.UtcNow;
        int tokens = inputs.Sum(input => input.Length);
        return new GeneratedEmbeddings<Embedding<float>>(vectors.Select(vector => new Embedding<float>(vector)
        {
            CreatedAt = created,
            ModelId = _metadata.DefaultModelId,
        }))
        {
            Usage = new UsageDetails { InputTokenCount = tokens, TotalTokenCount = tokens },
        };
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(EmbeddingGeneratorMetadata) ? _metadata
            : serviceType == typeof(EmbeddingEngine) ? _engine
            : serviceType == typeof(AnnModel) ? _engine.Model
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // the engine belongs to the caller
    }
}
