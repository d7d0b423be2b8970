using System.Text.Json;

namespace AnnRuntime.Server.Protocol;

/// <summary>An answer of /v1/chat/completions or /v1/completions, whole or as a chunk of a stream.</summary>
internal sealed record CompletionResponse
{
    public required string Id { get; init; }

    public required string Object { get; init; }

    public required long Created { get; init; }

    public required string Model { get; init; }

    public required IReadOnlyList<Choice> Choices { get; init; }

    public Usage? Usage { get; init; }

    public Timings? Timings { get; init; }

    public AnnBlock? Ann { get; init; }
}

/// <summary>The one choice: a message, a delta of it, or a text.</summary>
internal sealed record Choice
{
    public int Index { get; init; }

    public AnswerMessage? Message { get; init; }

    public AnswerMessage? Delta { get; init; }

    public string? Text { get; init; }

    public string? FinishReason { get; init; }
}

/// <summary>A message of an answer.</summary>
internal sealed record AnswerMessage
{
    public string? Role { get; init; }

    public string? Content { get; init; }

    public string? ReasoningContent { get; init; }

    public IReadOnlyList<WireToolCall>? ToolCalls { get; init; }
}

/// <summary>Tokens of a request.</summary>
internal sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens, PromptTokensDetails PromptTokensDetails)
{
    public static Usage Of(GenerationTimings timings) => new(
        timings.PromptTokens, timings.GeneratedTokens, timings.PromptTokens + timings.GeneratedTokens,
        new PromptTokensDetails(timings.CachedTokens));
}

/// <summary>Of the prompt's tokens, those that were not computed again.</summary>
internal sealed record PromptTokensDetails(int CachedTokens);

/// <summary>Times as llama-server names them.</summary>
internal sealed record Timings(
    int CacheN, int PromptN, double PromptMs, double PromptPerSecond, int PredictedN, double PredictedMs, double PredictedPerSecond)
{
    public static Timings Of(GenerationTimings timings) => new(
        timings.CachedTokens, timings.PromptTokens - timings.CachedTokens, timings.PromptTime.TotalMilliseconds,
        timings.PromptTokensPerSecond, timings.GeneratedTokens, timings.DecodeTime.TotalMilliseconds,
        timings.DecodeTokensPerSecond);
}

/// <summary>Ours: how the answer searched. A chunk of an observed stream carries what its token retrieved.</summary>
internal sealed record AnnBlock
{
    public string? Mode { get; init; }

    public int? TopK { get; init; }

    public int? ForgottenTokens { get; init; }

    /// <summary>In the first chunk of an observed stream: the text of each token of the prompt.</summary>
    public IReadOnlyList<string>? Prompt { get; init; }

    /// <summary>The text of the chunk's token.</summary>
    public string? Token { get; init; }

    public RetrievedCells? Retrieval { get; init; }
}

/// <summary>The answer of /v1/embeddings.</summary>
internal sealed record EmbeddingList(string Object, IReadOnlyList<EmbeddingEntry> Data, string Model, EmbeddingUsage Usage);

/// <summary>One embedding: an array of numbers, or base64 of their 32-bit floats, least significant byte first.</summary>
internal sealed record EmbeddingEntry(string Object, int Index, JsonElement Embedding);

/// <summary>Tokens of the inputs.</summary>
internal sealed record EmbeddingUsage(int PromptTokens, int TotalTokens);

/// <summary>An error in OpenAI's shape.</summary>
internal sealed record ErrorResponse(ErrorBody Error);

/// <summary>Its body.</summary>
internal sealed record ErrorBody(string Message, string Type, string? Code, string? Param);

/// <summary>The answer of /v1/models.</summary>
internal sealed record ModelList(string Object, IReadOnlyList<ModelEntry> Data);

/// <summary>One model.</summary>
internal sealed record ModelEntry(string Id, string Object, long Created, string OwnedBy, ModelMeta Meta);

/// <summary>Its shape.</summary>
internal sealed record ModelMeta(
    int NVocab, int NCtxTrain, int NCtx, int NEmbd, long NParams, long Size, string AnnMode, int? AnnTopK, IReadOnlyList<int> SearchedLayers);

/// <summary>The answer of /health.</summary>
internal sealed record Health(string Status);

/// <summary>The answer of /example: a long text that hides a password and asks for it.</summary>
internal sealed record Example(string Prompt, string Answer);

/// <summary>The answer of /tokenize.</summary>
internal sealed record TokenizeResponse(IReadOnlyList<int> Tokens);

/// <summary>The answer of /detokenize.</summary>
internal sealed record DetokenizeResponse(string Content);
