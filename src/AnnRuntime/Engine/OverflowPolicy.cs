namespace AnnRuntime;

/// <summary>What happens when an answer needs more cells than its sequence can have. Never silent.</summary>
public enum OverflowPolicy
{
    /// <summary>The answer ends with <see cref="FinishReason.ContextFull"/>.</summary>
    Stop,

    /// <summary>
    /// The older half behind the first <see cref="GenerationRequest.KeepTokens"/> tokens is forgotten, the rest is
    /// computed again, and the answer goes on. <see cref="GenerationResult.ForgottenTokens"/> says how much is gone.
    /// </summary>
    Shift,

    /// <summary>The answer ends with a <see cref="ContextFullException"/>.</summary>
    Error,
}
