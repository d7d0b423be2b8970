namespace AnnRuntime.Cli;

/// <summary>How one variant answered one prompt.</summary>
internal sealed record RecallRow(
    string Variant,
    SearchReport Search,
    int Length,
    string Needle,
    int Seed,
    string Expected,
    string Answer,
    bool Pass,
    TimingsReport Timings,
    MemoryReport Memory,
    double? Mass,
    double? RecallTeacher);
