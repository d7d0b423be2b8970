using System.Diagnostics;

namespace AnnRuntime.Evaluation;

/// <summary>Computes one window with a variant: every token is a query, every token but the first a target.</summary>
internal sealed class WindowEvaluator(AnnContext context, EvaluationPlan plan, AnnContext? full)
{
    private readonly Batch _batch = new();

    /// <summary>Computes the window.</summary>
    /// <param name="variant">How cells are chosen.</param>
    /// <param name="index">Index of the window.</param>
    /// <param name="tokens">Its tokens.</param>
    /// <param name="step">Told the tokens done.</param>
    /// <param name="cancellationToken">Stops at the next node of the graph.</param>
    public WindowResult Evaluate(
        EvaluationVariant variant, int index, ReadOnlySpan<int> tokens, Action<int> step, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        bool measure = plan.Measure && !variant.IsDense;
        StatisticsKinds kinds = (measure ? StatisticsKinds.Mass : 0) | (plan.Time ? StatisticsKinds.Time : 0);
        Prepare(context, variant);
        context.StartStatistics(plan.MeasuredFrom > 0 ? StatisticsKinds.None : kinds);
        full?.Clear();

        var blocks = new double[(tokens.Length - 1 + WindowResult.BlockTargets - 1) / WindowResult.BlockTargets];
        var divergence = full is null || variant.IsDense ? null : new DivergenceCollector(tokens.Length - 1);
        for (int from = 0; from < tokens.Length; from += plan.Chunk)
        {
            if (plan.MeasuredFrom > 0 && from >= plan.MeasuredFrom && context.Statistics != kinds)
            {
                context.StartStatistics(kinds);
            }

            ReadOnlySpan<int> chunk = tokens.Slice(from, Math.Min(plan.Chunk, tokens.Length - from));
            Decode(context, chunk, from, cancellationToken);
            if (divergence is not null)
            {
                Decode(full!, chunk, from, cancellationToken);
            }

            for (int i = 0; i < chunk.Length && from + i + 1 < tokens.Length; i++)
            {
                int target = tokens[from + i + 1];
                ReadOnlySpan<float> logits = context.GetLogits(i);
                double nll = Logits.LogSumExp(logits) - logits[target];
                blocks[(from + i) / WindowResult.BlockTargets] += nll;
                divergence?.Add(full!.GetLogits(i), logits, target, nll);
            }

            step(from + chunk.Length);
        }

        IReadOnlyList<WindowLayer> layers = kinds == StatisticsKinds.None ? [] : Layers(context.GetStatistics(), measure);
        return new WindowResult(
            variant.Key, index, tokens.Length - 1, blocks, Stopwatch.GetElapsedTime(start).TotalSeconds, layers,
            divergence?.ToResult());
    }

    private void Prepare(AnnContext target, EvaluationVariant variant)
    {
        target.Clear();
        if (plan.HasSearch)
        {
            target.Search = plan.DenseTrajectory ? variant.Search with { Mode = SearchMode.Dense } : variant.Search;
        }
    }

    private void Decode(AnnContext target, ReadOnlySpan<int> chunk, int from, CancellationToken cancellationToken)
    {
        _batch.Clear();
        for (int i = 0; i < chunk.Length; i++)
        {
            _ = _batch.Add(chunk[i], from + i, wantLogits: true);
        }

        target.Decode(_batch, cancellationToken);
    }

    private static IReadOnlyList<WindowLayer> Layers(RetrievalStatistics statistics, bool measured) =>
    [
        .. statistics.Layers
            .Where(layer => layer.Searched && (layer.Measured > 0 || !measured))
            .Select(layer => new WindowLayer(
                layer.Layer,
                layer.Measured,
                layer.Mass ?? 0,
                layer.TeacherRecall ?? 0,
                layer.SearchTime.TotalMicroseconds / Math.Max(1, layer.Queries))),
    ];
}
