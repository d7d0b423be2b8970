namespace AnnRuntime.Evaluation;

/// <summary>A prompt before its length is known.</summary>
/// <param name="Text">The prompt.</param>
/// <param name="References">What the answer must contain.</param>
/// <param name="Depth">Where the needle stands, 0..1; null where there is no single one.</param>
internal sealed record TaskDraft(string Text, IReadOnlyList<string> References, double? Depth = null);

/// <summary>What a draft is made from.</summary>
/// <param name="Amount">Amount of haystack: lines, words, as the task counts.</param>
/// <param name="Length">Tokens of prompt and answer together, at most.</param>
/// <param name="Depth">Share 0..1 at which a single needle stands.</param>
/// <param name="Random">Begins anew for every draft of a prompt.</param>
/// <param name="Tokens">Counts the tokens of a text.</param>
internal sealed record TaskRequest(int Amount, int Length, double Depth, StableRandom Random, Func<string, int> Tokens);

/// <summary>A task: how a prompt is made from an amount of haystack.</summary>
/// <param name="Name">The task.</param>
/// <param name="AnswerTokens">Most tokens of the answer.</param>
/// <param name="Least">Least amount of haystack.</param>
/// <param name="Draft">Makes the prompt.</param>
internal sealed record TaskKind(string Name, int AnswerTokens, int Least, Func<TaskRequest, TaskDraft> Draft);
