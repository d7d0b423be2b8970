namespace AnnRuntime;

/// <summary>Asks a model for the password of a prompt.</summary>
public static class PasswordRecall
{
    /// <summary>Most tokens of an answer: about twice as many as the longest password has.</summary>
    public const int AnswerTokens = 32;

    /// <summary>Computes the whole prompt, answers greedily and compares.</summary>
    /// <param name="session">A session whose sequence has room for the prompt and the answer.</param>
    /// <param name="prompt">From <see cref="PasswordPromptGenerator"/>.</param>
    /// <param name="progress">Told after each chunk of the prompt.</param>
    /// <param name="cancellationToken">Stops prompt and answer.</param>
    /// <exception cref="ContextFullException">The prompt has more tokens than the sequence can have cells.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<PasswordRecallResult> AskAsync(
        AnnSession session, PasswordPrompt prompt, IProgress<PrefillProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(prompt);
        var options = new GenerationOptions
        {
            MaxTokens = AnswerTokens,
            Sampling = SamplingOptions.Greedy,
            ReusePrefix = false,
        };
        GenerationResult generation = await session
            .CompleteAsync(prompt.Tokens, options, progress, cancellationToken)
            .ConfigureAwait(false);
        return new PasswordRecallResult(
            prompt, generation.Text.Trim(), PasswordPromptGenerator.IsRight(prompt, generation.Text), generation);
    }
}
