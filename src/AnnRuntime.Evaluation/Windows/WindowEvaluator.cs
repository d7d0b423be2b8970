using System.Diagnostics;

namespace AnnRuntime.Evaluation;

/// <summary>Computes one window with a variant: every token is a query, every token but a segment's first a target.</summary>
internal sealed class WindowEvaluator(AnnContext context, EvaluationPlan plan, AnnContext? full)
{
    private readonly Batch _batch = new();
    private IReadOnlyList<int> _segments = [0];

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
        int measuredFrom = Math.Max(plan.MeasuredFrom, plan.GeneratedFrom);
        context.StartStatistics(measuredFrom > 0 ? StatisticsKinds.None : kinds);
        full?.Clear();
        _segments = plan.Windows.Segments(index);

        int targets = 0;
        var blocks = new List<double>();
        var divergence = full is null || variant.IsDense ? null : new DivergenceCollector(tokens.Length - 1);
        for (int from = 0; from < tokens.Length;)
        {
            if (measuredFrom > 0 && from >= measuredFrom && context.Statistics != kinds)
            {
                context.StartStatistics(kinds);
            }

            ReadOnlySpan<int> chunk = tokens.Slice(from, plan.Step(from));
            Decode(context, chunk, from, cancellationToken);
            if (divergence is not null)
            {
                Decode(full!, chunk, from, cancellationToken);
            }

            for (int i = 0; i < chunk.Length; i++)
            {
                if (!HasTarget(from + i, tokens.Length))
                {
                    continue;
                }

                int target = tokens[from + i + 1];
                ReadOnlySpan<float> logits = context.GetLogits(i);
                double nll = Logits.LogSumExp(logits) - logits[target];
                if (targets++ % WindowResult.BlockTargets == 0)
                {
                    blocks.Add(0);
                }

                blocks[^1] += nll;
                divergence?.Add(full!.GetLogits(i), logits, target, nll);
            }

            from += chunk.Length;
            step(from);
        }

        IReadOnlyList<WindowLayer> layers = kinds == StatisticsKinds.None ? [] : Layers(context.GetStatistics(), measure, variant);
        return new WindowResult(
            variant.Key, index, targets, blocks, Stopwatch.GetElapsedTime(start).TotalSeconds, layers,
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
            int sequence = Segment(from + i);
            _ = _batch.Add(chunk[i], from + i - _segments[sequence], sequence, HasTarget(from + i, plan.Windows.Length));
        }

        target.Decode(_batch, cancellationToken);
    }

    // the next token follows in the same segment, and is not part of a prompt
    private bool HasTarget(int token, int length) =>
        token + 1 < length && token >= plan.GeneratedFrom && Segment(token) == Segment(token + 1);

    private int Segment(int token)
    {
        int last = _segments.Count - 1;
        while (_segments[last] > token)
        {
            last--;
        }

        return last;
    }

    private static IReadOnlyList<WindowLayer> Layers(RetrievalStatistics statistics, bool measured, EvaluationVariant variant) =>
    [
        .. statistics.Layers
            .Where(layer => layer.Searched && (layer.Measured > 0 || !measured))
            .Select(layer => new WindowLayer(
                layer.Layer,
                layer.Measured,
                layer.Mass ?? 0,
                layer.TeacherRecall ?? 0,
                layer.SearchTime.TotalMicroseconds / Math.Max(1, layer.Queries),
                variant.Search.Mode == SearchMode.Hnsw ? layer.IndexRecall : null,
                variant.Search.Selector == CellSelector.Learned ? layer.Scored : null)),
    ];
}
