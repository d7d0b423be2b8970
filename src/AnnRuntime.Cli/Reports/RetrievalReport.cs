namespace AnnRuntime.Cli;

/// <summary>What search did, over all layers and layer by layer.</summary>
internal sealed record RetrievalReport(
    double? Mass,
    double? RecallTeacher,
    double? RecallIndex,
    double? Visible,
    double? Attended,
    double SearchMs,
    double AttentionMs,
    double OtherMs,
    IReadOnlyList<LayerReport> Layers)
{
    public static RetrievalReport? From(RetrievalStatistics? statistics) => statistics is null ? null : new(
        statistics.Mass,
        statistics.TeacherRecall,
        statistics.IndexRecall,
        statistics.Visible,
        statistics.Attended,
        statistics.SearchTime.TotalMilliseconds,
        statistics.AttentionTime.TotalMilliseconds,
        statistics.OtherTime.TotalMilliseconds,
        [.. statistics.Layers.Select(LayerReport.From)]);
}

/// <summary>What search did in one layer.</summary>
internal sealed record LayerReport(
    int Layer,
    bool Searched,
    long Queries,
    long DenseQueries,
    double? Visible,
    double? Attended,
    double? Mass,
    double? RecallTeacher,
    double? RecallIndex,
    double SearchMs,
    double AttentionMs)
{
    public static LayerReport From(LayerRetrieval layer) => new(
        layer.Layer,
        layer.Searched,
        layer.Queries,
        layer.DenseQueries,
        layer.Visible,
        layer.Attended,
        layer.Mass,
        layer.TeacherRecall,
        layer.IndexRecall,
        layer.SearchTime.TotalMilliseconds,
        layer.AttentionTime.TotalMilliseconds);
}
