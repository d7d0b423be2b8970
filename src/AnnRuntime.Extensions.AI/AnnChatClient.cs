using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.AI;
using Meai = Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>An engine as an <see cref="IChatClient"/>: the model's template, tools, schemas, usage, streaming.</summary>
/// <remarks>
/// Any number of threads may use it. It keeps no conversation: callers send all messages, and the engine reuses the cells
/// of those that it has seen. <see cref="Meai.ChatOptions.RawRepresentationFactory"/> may return a
/// <see cref="GenerationRequest"/>, whose members are the defaults of what the options leave out. Tool calls come whole,
/// at the end. Disposing it leaves the engine alone.
/// </remarks>
/// <param name="engine">The engine; the client does not dispose it.</param>
public sealed class AnnChatClient(GenerationEngine engine) : IChatClient
{
    private readonly GenerationEngine _engine = engine ?? throw new ArgumentNullException(nameof(engine));
    private readonly ChatClientMetadata _metadata = new(
        "ann_runtime", new Uri(engine.Model.Path), Path.GetFileNameWithoutExtension(engine.Model.Path));

    /// <inheritdoc/>
    public Task<ChatResponse> GetResponseAsync(
        IEnumerable<Meai.ChatMessage> messages, Meai.ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">No messages, some that the template refuses, or an option out of range.</exception>
    /// <exception cref="ContextFullException">The conversation has more tokens than a sequence can have cells.</exception>
    /// <exception cref="EngineBusyException">The engine's queue is full.</exception>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<Meai.ChatMessage> messages, Meai.ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return StreamAsync([.. messages], options, cancellationToken);
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? _metadata
            : serviceType == typeof(GenerationEngine) ? _engine
            : serviceType == typeof(AnnModel) ? _engine.Model
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // the engine belongs to the caller
    }

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        IReadOnlyList<Meai.ChatMessage> messages, Meai.ChatOptions? options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ChatPrompt prompt = _engine.Model.ChatTemplate.Apply(
            ChatRequestMapper.Messages(messages, options), ChatRequestMapper.Template(options));
        var template = options?.RawRepresentationFactory?.Invoke(this) as GenerationRequest;
        using Generation generation = _engine.Submit(
            ChatRequestMapper.ToEngine(_engine.Model.Tokenizer.Tokenize(prompt.Prompt), prompt, options, template), cancellationToken);

        string id = Guid.NewGuid().ToString("N");
        DateTimeOffset created = DateTimeOffset.UtcNow;
        ChatResponseUpdate Update(IList<AIContent> contents) => new(ChatRole.Assistant, contents)
        {
            ResponseId = id,
            MessageId = id,
            ModelId = _metadata.DefaultModelId,
            CreatedAt = created,
        };

        var text = new StringBuilder();
        var reader = new AnswerReader(prompt);
        await foreach (GeneratedToken token in generation.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            text.Append(token.Text);
            if (token.Text.Length > 0 && reader.Read(text.ToString()) is { Count: > 0 } added)
            {
                yield return Update(added);
            }
        }

        GenerationResult result = await generation.Result.ConfigureAwait(false);
        List<AIContent> last = reader.End(result, out ChatFinishReason reason);
        last.Add(new UsageContent(Usage(result.Timings)));
        ChatResponseUpdate end = Update(last);
        end.FinishReason = reason;
        yield return end;
    }

    private static UsageDetails Usage(GenerationTimings timings) => new()
    {
        InputTokenCount = timings.PromptTokens,
        OutputTokenCount = timings.GeneratedTokens,
        TotalTokenCount = timings.PromptTokens + timings.GeneratedTokens,
        CachedInputTokenCount = timings.CachedTokens,
    };
}
