namespace AnnRuntime.Evaluation;

/// <summary>What one query cost in one searching layer, measured in a cache of random contents.</summary>
/// <param name="Selector">full, exact, hnsw or pages.</param>
/// <param name="Cells">Cells of the cache.</param>
/// <param name="Queries">Queries, of which the figures are means.</param>
/// <param name="Compared">Search keys (pages: bounds of pages, full: keys) that the query was compared with, counted.</param>
/// <param name="ScoringOperations">Multiply-adds of these comparisons.</param>
/// <param name="ScoringBytes">Bytes of what was compared; hnsw: and of the links that led there.</param>
/// <param name="ChoiceMicroseconds">Time of the choice; full: none.</param>
/// <param name="AttentionMicroseconds">Time of attention.</param>
/// <param name="IndexRecall">Share of the exact search's cells that the index found; null without an index.</param>
/// <param name="BuildSeconds">Time to fill the cache and to build the index of every layer, all threads; null without an index.</param>
public sealed record ScalingPoint(
    string Selector,
    long Cells,
    int Queries,
    double Compared,
    double ScoringOperations,
    double ScoringBytes,
    double ChoiceMicroseconds,
    double AttentionMicroseconds,
    double? IndexRecall,
    double? BuildSeconds);
