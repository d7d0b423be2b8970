using AnnRuntime.Cli;

namespace AnnRuntime.Tests.Bench;

/// <summary>Rows that nobody measured.</summary>
internal static class Sample
{
    public static BenchRow Row(string mode, string search, int generate, int depth, long medianNs) => new()
    {
        BuildCommit = "0123abcd",
        CpuInfo = "Some CPU",
        ModelFilename = "model.gguf",
        ModelType = "qwen3 0.6B Q8_0",
        NGen = generate,
        NDepth = depth,
        NThreads = 2,
        TestTime = "2026-01-02T03:04:05Z",
        AvgNs = medianNs,
        AvgTs = 1e9 * generate / medianNs,
        SamplesNs = [medianNs, medianNs],
        SamplesTs = [1e9 * generate / medianNs, 1e9 * generate / medianNs],
        MedianNs = medianNs,
        LlamaCpp = "v0.5.0 de3ff815",
        Search = search,
        Mode = mode,
        NReserved = search == "stock" ? null : 4,
        NTopK = search == "exact" ? 128 : null,
        Command = "./ann bench --stock",
    };
}
