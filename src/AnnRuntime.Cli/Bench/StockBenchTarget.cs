using System.Diagnostics;
using System.Text.Json;

namespace AnnRuntime.Cli;

/// <summary>A context of the unpatched library, in a process of its own (native/stock/stock-bench.cpp).</summary>
internal sealed class StockBenchTarget : IBenchTarget
{
    private readonly Process _process;

    public StockBenchTarget(string program, StockRequest open, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program, [Path.GetDirectoryName(program)!])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        _process = Process.Start(start) ?? throw new IOException($"{program} did not start.");
        try
        {
            StockAnswer answer = Ask(open with { Cmd = "open" }, cancellationToken);
            CacheBytes = (answer.KBytes, answer.VBytes, 0);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public SearchOptions? Search => null;

    public (long K, long V, long Search) CacheBytes { get; }

    public long PeakRssBytes { get; private set; }

    public void Fill(int depth, bool random, CancellationToken cancellationToken) =>
        _ = Ask(new StockRequest(random ? "fill" : "prefill") { N = depth, Seed = 1 }, cancellationToken);

    public long Run(int prompt, int generate, CancellationToken cancellationToken)
    {
        StockAnswer answer = Ask(new StockRequest("run") { Pp = prompt, Tg = generate }, cancellationToken);
        PeakRssBytes = answer.PeakRssBytes;
        return answer.Ns;
    }

    public RetrievalStatistics? Measure(int prompt, int generate, CancellationToken cancellationToken) => null;

    public IndexStatistics? MeasureIndex(int prompt, int generate, CancellationToken cancellationToken) => null;

    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private StockAnswer Ask(StockRequest request, CancellationToken cancellationToken)
    {
        // a killed process closes its stdout, which ends the read below
        using CancellationTokenRegistration kill = cancellationToken.Register(_process.Kill);
        string? line;
        try
        {
            _process.StandardInput.WriteLine(JsonSerializer.Serialize(request, BenchJson.Default.StockRequest));
            _process.StandardInput.Flush();
            line = _process.StandardOutput.ReadLine();
        }
        catch (IOException)
        {
            line = null; // the pipe broke: the process is gone
        }

        cancellationToken.ThrowIfCancellationRequested();
        if (line is null)
        {
            _process.WaitForExit();
            throw new AnnRuntimeException($"stock-bench ended during '{request.Cmd}' with exit code {_process.ExitCode}.");
        }

        StockAnswer answer = JsonSerializer.Deserialize(line, BenchJson.Default.StockAnswer)!;
        return answer.Error is null ? answer : throw new AnnRuntimeException($"stock-bench, {request.Cmd}: {answer.Error}");
    }
}
