using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>A prompt with the answers that it wants.</summary>
/// <param name="Task">The task.</param>
/// <param name="Length">Tokens of prompt and answer together, at most.</param>
/// <param name="Sample">Index among the prompts of task and length.</param>
/// <param name="Depth">Where the needle stands, 0..1; null where there is no single one.</param>
/// <param name="Tokens">The prompt.</param>
/// <param name="References">What the answer must contain.</param>
/// <param name="AnswerTokens">Most tokens of the answer.</param>
public sealed record TaskPrompt(
    string Task, int Length, int Sample, double? Depth, IReadOnlyList<int> Tokens, IReadOnlyList<string> References, int AnswerTokens)
{
    /// <summary>Share of the references that the answer contains, case ignored, 0..100: RULER's string_match_all.</summary>
    /// <param name="answer">The generated text.</param>
    public double Score(string answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        return 100.0 * References.Count(reference => answer.Contains(reference, StringComparison.OrdinalIgnoreCase)) / References.Count;
    }

    /// <summary>Reads prompts of a JSONL file: lines with "prompt" and "answer", and optionally "set" and "prompt_tokens".</summary>
    /// <param name="model">Its tokenizer; special tokens in the text are recognised.</param>
    /// <param name="path">The file.</param>
    /// <exception cref="ArgumentException">A line that is no such object; the message names it.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyList<TaskPrompt> Read(AnnModel model, string path)
    {
        ArgumentNullException.ThrowIfNull(model);
        const int Answer = PasswordRecall.AnswerTokens;
        var prompts = new List<TaskPrompt>();
        foreach (string line in File.ReadLines(path).Where(line => line.Length > 0))
        {
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                int[] tokens = model.Tokenizer.Tokenize(json.RootElement.GetProperty("prompt").GetString()!);
                string set = json.RootElement.TryGetProperty("set", out JsonElement name) ? name.GetString()! : "file";
                int length = json.RootElement.TryGetProperty("prompt_tokens", out JsonElement count) ? count.GetInt32() : tokens.Length;
                prompts.Add(new TaskPrompt(
                    set, length, prompts.Count, null, tokens, [json.RootElement.GetProperty("answer").GetString()!], Answer));
            }
            catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                throw new ArgumentException(
                    $"Line {prompts.Count + 1} of '{path}' is no prompt; it must be an object with the texts prompt and answer.", exception);
            }
        }

        return prompts;
    }
}
