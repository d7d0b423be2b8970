// Figures of the engine, one JSON document on stdout (docs/notes/2026-11-25-server.md has them):
//
//   dotnet run -c Release --project benchmarks/AnnRuntime.Benchmarks -- streams | question | overhead ...
//
// streams    8 answers at once against one after the other; the texts must be equal
// question   time to the first token of the first and the second question about a document of some 16,000 tokens
// overhead   greedy generation in C# (session, engine) against the native loop of benchmarks/native/ann-bench,
//            build/cpu/benchmarks/ann-bench (cmake --build --preset cpu --target ann-bench); the tokens must be equal
using System.Text.Json;
using AnnRuntime;
using AnnRuntime.Benchmarks;
using AnnRuntime.Cli;

if (args is [] || args.Except(["streams", "question", "overhead"]).Any())
{
    Console.Error.WriteLine("Usage: streams | question | overhead ...");
    return 2;
}

int threads = Environment.ProcessorCount;
using AnnModel model = await AnnModel.LoadAsync(ModelArguments.FindDefault());
BenchRow machine = BenchMachine.Describe(RuntimeInfo.Get(), threads);
List<object> figures = [];
foreach (string name in args)
{
    figures.Add(name switch
    {
        "streams" => await StreamsBenchmark.RunAsync(model, threads),
        "question" => await QuestionBenchmark.RunAsync(model, threads),
        _ => await OverheadBenchmark.RunAsync(model, threads),
    });
}

Console.WriteLine(JsonSerializer.Serialize(
    new
    {
        test_time = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", null),
        build_commit = machine.BuildCommit,
        cpu_info = machine.CpuInfo,
        machine_read_bandwidth = machine.MachineReadBandwidth,
        n_threads = threads,
        llama_cpp = machine.LlamaCpp,
        model_filename = Path.GetFileName(model.Path),
        omp_wait_policy = Environment.GetEnvironmentVariable("OMP_WAIT_POLICY"),
        command = "dotnet run -c Release --project benchmarks/AnnRuntime.Benchmarks -- " + string.Join(' ', args),
        figures,
    },
    new JsonSerializerOptions { WriteIndented = true }));
return 0;
