namespace AnnRuntime.Evaluation;

/// <summary>The password question that ann-sparseattention's runtime was tried with (2026-05-09), word by word.</summary>
/// <remarks>
/// Its prompts took the number of filler notes nearest to 1024, 2048 and 4096 tokens; ours take as many as fit. It asked for
/// three passwords; here one of them, or one made of its words and other digits, is drawn.
/// </remarks>
internal static class PrototypePasswords
{
    private const string Filler =
        "Filler note: this paragraph is deliberately irrelevant. It discusses systems logs, cache accounting, compilation flags, and "
        + "benchmark setup. It does not change the secret. Do not infer a new password from this filler. Continue remembering the "
        + "original secret.\n";

    private static readonly string[] First = ["VIOLET", "ORBIT", "CIPHER"], Second = ["RIVER", "LANTERN", "MARBLE"];

    private static readonly string[] Digits = ["7319", "4826", "9051"];

    public static TaskKind Kind { get; } = new(TaskGenerator.PrototypePassword, PasswordRecall.AnswerTokens, 1, request =>
    {
        int which = request.Random.Next(4);
        string password = which < 3
            ? $"{First[which]}-{Digits[which]}-{Second[which]}"
            : $"{request.Random.Choose(First)}-{request.Random.Next(10_000):0000}-{request.Random.Choose(Second)}";
        return new TaskDraft(
            $"You are taking a memory test.\nThe secret password is: {password}\nYou must remember this exact password. Later, answer with "
            + $"only the password and no extra words.\n\n{string.Concat(Enumerable.Repeat(Filler, request.Amount))}\nMemory test question: "
            + "What is the exact secret password? Answer only the password.\n",
            [password],
            0);
    });
}
