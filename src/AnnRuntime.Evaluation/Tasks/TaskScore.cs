namespace AnnRuntime.Evaluation;

/// <summary>A variant's score in a task at a length.</summary>
/// <param name="Variant">Its name.</param>
/// <param name="Task">The task.</param>
/// <param name="Length">Tokens of prompt and answer together, at most.</param>
/// <param name="Samples">Prompts.</param>
/// <param name="Score">Mean share of the references in the answer, 0..100.</param>
/// <param name="ChangeFromDense">Score minus that of the variant dense; null without one.</param>
/// <param name="Answers">What was answered, prompt by prompt.</param>
public sealed record TaskScore(
    string Variant, string Task, int Length, int Samples, double Score, double? ChangeFromDense, IReadOnlyList<TaskAnswer> Answers);

/// <summary>One answer.</summary>
/// <param name="Sample">Index of the prompt.</param>
/// <param name="Depth">Where the needle stands, 0..1; null where there is no single one.</param>
/// <param name="References">What the answer must contain.</param>
/// <param name="Answer">The answer.</param>
/// <param name="Score">Share of the references in it, 0..100.</param>
public sealed record TaskAnswer(int Sample, double? Depth, IReadOnlyList<string> References, string Answer, double Score);
