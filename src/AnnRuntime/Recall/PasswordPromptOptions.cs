namespace AnnRuntime;

/// <summary>Which password prompt is made.</summary>
public sealed record PasswordPromptOptions
{
    /// <summary>Tokens of the prompt. Default 8192.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int Length
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Length), value, $"Length is {value}; it must be at least 1.");
    } = 8192;

    /// <summary>Chooses password, wording and text; the same seed gives the same prompt on every machine. Default 1.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Where the password stands. Default middle.</summary>
    public NeedlePosition Needle { get; init; } = NeedlePosition.Middle;

    /// <summary>A user's turn in the model's chat template instead of plain text. Default false.</summary>
    public bool Chat { get; init; }

    /// <summary>Words that the embedded model never saw in a training password. Default false.</summary>
    /// <remarks>The digits are always of a pattern that it never saw.</remarks>
    public bool UnseenWords { get; init; }
}
