namespace AnnRuntime.Cli;

/// <summary>What <c>generate --json</c> writes.</summary>
internal sealed record GenerateReport(
    string Model,
    string Text,
    IReadOnlyList<int> Tokens,
    string FinishReason,
    TimingsReport Timings,
    SearchReport Search,
    MemoryReport Memory,
    RetrievalReport? Retrieval);
