using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>How a token is chosen from logits. Mirrors <c>ann_sampler_params</c>.</summary>
/// <remarks>
/// Applied in this order: grammar, penalties, dry, top-n-sigma, top-k, typical-p, top-p, min-p, xtc, temperature.
/// </remarks>
public sealed record SamplingOptions
{
    /// <summary>Greedy: always the most likely token.</summary>
    public static SamplingOptions Greedy { get; } = new() { Temperature = 0 };

    /// <summary>Makes sampling repeatable. Default null: random.</summary>
    public uint? Seed { get; init; }

    /// <summary>0: greedy. Default 0.8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or no number.</exception>
    public float Temperature
    {
        get;
        init => field = InRange(value, 0, float.MaxValue, nameof(Temperature));
    } = 0.8f;

    /// <summary>Keeps the k most likely tokens; 0: off. Default 40.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int TopK
    {
        get;
        init => field = NotNegative(value, nameof(TopK));
    } = 40;

    /// <summary>Keeps the most likely tokens up to this probability; 1: off. Default 0.95.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..1.</exception>
    public float TopP
    {
        get;
        init => field = InRange(value, 0, 1, nameof(TopP));
    } = 0.95f;

    /// <summary>Drops tokens below this share of the most likely one; 0: off. Default 0.05.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..1.</exception>
    public float MinP
    {
        get;
        init => field = InRange(value, 0, 1, nameof(MinP));
    } = 0.05f;

    /// <summary>Locally typical sampling; 1: off. Default 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..1.</exception>
    public float TypicalP
    {
        get;
        init => field = InRange(value, 0, 1, nameof(TypicalP));
    } = 1f;

    /// <summary>Keeps tokens within n standard deviations of the best logit. Default null: off.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or no number.</exception>
    public float? TopNSigma
    {
        get;
        init => field = value is null ? null : InRange(value.Value, 0, float.MaxValue, nameof(TopNSigma));
    }

    /// <summary>Chance of leaving out the most likely tokens; 0: off. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..1.</exception>
    public float XtcProbability
    {
        get;
        init => field = InRange(value, 0, 1, nameof(XtcProbability));
    }

    /// <summary>Tokens above this probability may be left out. Default 0.1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..1.</exception>
    public float XtcThreshold
    {
        get;
        init => field = InRange(value, 0, 1, nameof(XtcThreshold));
    } = 0.1f;

    /// <summary>Tokens that the penalties look back; 0: none. Default 64.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int PenaltyWindow
    {
        get;
        init => field = NotNegative(value, nameof(PenaltyWindow));
    } = 64;

    /// <summary>Divides the logits of tokens seen; 1: off. Default 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or no number.</exception>
    public float RepeatPenalty
    {
        get;
        init => field = InRange(value, 0, float.MaxValue, nameof(RepeatPenalty));
    } = 1f;

    /// <summary>Subtracted from a logit per occurrence; 0: off. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No number.</exception>
    public float FrequencyPenalty
    {
        get;
        init => field = InRange(value, float.MinValue, float.MaxValue, nameof(FrequencyPenalty));
    }

    /// <summary>Subtracted once from the logit of a token seen; 0: off. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No number.</exception>
    public float PresencePenalty
    {
        get;
        init => field = InRange(value, float.MinValue, float.MaxValue, nameof(PresencePenalty));
    }

    /// <summary>Strength of the penalty on repeated runs of tokens (dry); 0: off. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or no number.</exception>
    public float DryMultiplier
    {
        get;
        init => field = InRange(value, 0, float.MaxValue, nameof(DryMultiplier));
    }

    /// <summary>Growth of that penalty per token of the run. Default 1.75.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or no number.</exception>
    public float DryBase
    {
        get;
        init => field = InRange(value, 0, float.MaxValue, nameof(DryBase));
    } = 1.75f;

    /// <summary>Runs up to this many tokens are free. Default 2.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int DryAllowedLength
    {
        get;
        init => field = NotNegative(value, nameof(DryAllowedLength));
    } = 2;

    /// <summary>Added to the logits of single tokens. Default none.</summary>
    public IReadOnlyDictionary<int, float>? LogitBias { get; init; }

    /// <summary>A GBNF grammar with the root symbol "root". Default none.</summary>
    public string? Grammar { get; init; }

    /// <summary>
    /// Text that the grammar begins with and that the prompt ends with: <see cref="ChatPrompt.GenerationPrompt"/> for a
    /// grammar of a chat template. Default none.
    /// </summary>
    public string? GrammarPrefix { get; init; }

    /// <summary>
    /// Texts (regular expressions of ECMAScript) that start the grammar: before one of them, and before a token of
    /// <see cref="GrammarTriggerTokens"/>, the answer is free. The grammar begins with the first group of the match, or with
    /// the match. Default none; without any trigger the grammar holds from the start.
    /// </summary>
    /// <remarks>With a trigger the <see cref="GrammarPrefix"/> is not read.</remarks>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public IReadOnlyList<string> GrammarTriggerPatterns
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(GrammarTriggerPatterns));
    } = [];

    /// <summary>Tokens that start the grammar. Default none.</summary>
    /// <exception cref="ArgumentNullException">Null.</exception>
    public IReadOnlyList<int> GrammarTriggerTokens
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(GrammarTriggerTokens));
    } = [];

    /// <summary>Whether the tokens of the prompt change the choice.</summary>
    internal bool LooksBack =>
        PenaltyWindow > 0
        && (RepeatPenalty != 1 || FrequencyPenalty != 0 || PresencePenalty != 0 || DryMultiplier != 0);

    /// <summary>The native form, bias and grammar apart.</summary>
    internal AnnSamplerParams ToNative()
    {
        AnnSamplerParams native = AnnSamplerParams.Default();
        native.Seed = Seed ?? uint.MaxValue;
        native.Temperature = Temperature;
        native.TopK = TopK;
        native.TopP = TopP;
        native.MinP = MinP;
        native.TypicalP = TypicalP;
        native.TopNSigma = TopNSigma ?? -1;
        native.XtcProbability = XtcProbability;
        native.XtcThreshold = XtcThreshold;
        native.PenaltyLastN = PenaltyWindow;
        native.PenaltyRepeat = RepeatPenalty;
        native.PenaltyFrequency = FrequencyPenalty;
        native.PenaltyPresence = PresencePenalty;
        native.DryMultiplier = DryMultiplier;
        native.DryBase = DryBase;
        native.DryAllowedLength = DryAllowedLength;
        native.DryPenaltyLastN = PenaltyWindow;
        return native;
    }

    private static int NotNegative(int value, string name) =>
        value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be at least 0.");

    private static float InRange(float value, float minimum, float maximum, string name)
    {
        if (value >= minimum && value <= maximum)
        {
            return value;
        }

        string range = maximum == float.MaxValue
            ? minimum == float.MinValue ? "be a finite number" : FormattableString.Invariant($"be at least {minimum}")
            : FormattableString.Invariant($"be in {minimum}..{maximum}");
        throw new ArgumentOutOfRangeException(
            name, value, FormattableString.Invariant($"{name} is {value}; it must {range}."));
    }
}
