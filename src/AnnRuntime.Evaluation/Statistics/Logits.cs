namespace AnnRuntime.Evaluation;

/// <summary>Probabilities from logits. Sums are in double, exponentials in float.</summary>
internal static class Logits
{
    /// <summary>log of the sum of exponentials.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        float max = Max(logits);
        double sum = 0;
        foreach (float logit in logits)
        {
            sum += MathF.Exp(logit - max);
        }

        return max + Math.Log(sum);
    }

    /// <summary>Index of the largest; of equal ones the first.</summary>
    public static int Top(ReadOnlySpan<float> logits) => logits.IndexOf(Max(logits));

    /// <summary>KL divergence of <paramref name="full"/> from <paramref name="other"/>, in nats, never below 0.</summary>
    public static double Divergence(ReadOnlySpan<float> full, ReadOnlySpan<float> other)
    {
        double fullSum = LogSumExp(full);
        double otherSum = LogSumExp(other);
        double divergence = 0;
        for (int i = 0; i < full.Length; i++)
        {
            double log = full[i] - fullSum;
            if (log > -80)
            {
                divergence += MathF.Exp((float)log) * (log - (other[i] - otherSum));
            }
        }

        return Math.Max(0, divergence);
    }

    private static float Max(ReadOnlySpan<float> values)
    {
        float max = float.NegativeInfinity;
        foreach (float value in values)
        {
            max = Math.Max(max, value);
        }

        return max;
    }
}
