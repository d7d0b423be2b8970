using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using AnnRuntime.Cli;

namespace AnnRuntime.Benchmarks;

/// <summary>The same greedy answer by the native loop, by a session and by the engine, in turns.</summary>
internal static class OverheadBenchmark
{
    private const int PromptTokens = 512;
    private const int AnswerTokens = 257; // 256 decodes
    private const int Cells = 1024;
    private const int Rounds = 9;

    public static async Task<object> RunAsync(AnnModel model, int threads)
    {
        string program = Path.Combine(BenchMachine.Root, "build", "cpu", "benchmarks", "ann-bench");
        using Process native = Process.Start(new ProcessStartInfo(program)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        native.ErrorDataReceived += (_, _) => { };
        native.BeginErrorReadLine();
        await SendAsync(native, new JsonObject
        {
            ["cmd"] = "open", ["model"] = model.Path, ["n_ctx"] = Cells, ["threads"] = threads, ["flash"] = -1,
            ["type_k"] = "f16", ["type_v"] = "f16",
        });
        int[] prompt = Figures.Prose(model, 3, PromptTokens);
        using AnnContext context = model.CreateContext(new ContextOptions { ContextLength = Cells, Threads = threads });
        await using var session = new AnnSession(context);
        await using var engine = new GenerationEngine(model, new EngineOptions
        {
            Context = new ContextOptions { ContextLength = Cells, MaxSequences = 4, Threads = threads },
        });

        List<double> natives = [], sessions = [], engines = [], sessionRatios = [], engineRatios = [];
        for (int round = -2; round < Rounds; round++) // the first two warm up
        {
            Console.Error.WriteLine($"overhead: round {round + 1} of {Rounds} ...");
            (double nativeTime, int[] expected) = await RunNativeAsync(native, prompt);
            (double sessionTime, IReadOnlyList<int> ofSession) = await RunAsync(
                session.GenerateAsync(prompt, Figures.Greedy(AnswerTokens) with { ReusePrefix = false }));
            using Generation generation = engine.Submit(new GenerationRequest { Prompt = prompt, Options = Figures.Greedy(AnswerTokens) });
            (double engineTime, IReadOnlyList<int> ofEngine) = await RunAsync(generation);
            if (!expected.SequenceEqual(ofSession) || !expected.SequenceEqual(ofEngine))
            {
                throw new InvalidOperationException("The three loops did not generate the same tokens; there is nothing to compare.");
            }

            if (round >= 0)
            {
                natives.Add(nativeTime);
                sessions.Add(sessionTime);
                engines.Add(engineTime);
                sessionRatios.Add(sessionTime / nativeTime);
                engineRatios.Add(engineTime / nativeTime);
            }
        }

        native.StandardInput.Close();
        await native.WaitForExitAsync();
        return new
        {
            test = "overhead",
            n_prompt = PromptTokens,
            n_gen = AnswerTokens - 1,
            native_us_per_token = Figures.Rounded(natives),
            session_us_per_token = Figures.Rounded(sessions),
            engine_us_per_token = Figures.Rounded(engines),
            session_overhead_percent = Math.Round(100 * (Figures.Median(sessionRatios) - 1), 2),
            engine_overhead_percent = Math.Round(100 * (Figures.Median(engineRatios) - 1), 2),
            tokens_equal = true,
        };
    }

    // from the first token to the last, in microseconds per token
    private static async Task<(double Time, IReadOnlyList<int> Tokens)> RunAsync(IAsyncEnumerable<GeneratedToken> answer)
    {
        List<int> tokens = [];
        long first = 0;
        await foreach (GeneratedToken token in answer)
        {
            if (tokens.Count == 0)
            {
                first = Stopwatch.GetTimestamp();
            }

            tokens.Add(token.Id);
        }

        return (Stopwatch.GetElapsedTime(first).TotalMicroseconds / (tokens.Count - 1), tokens);
    }

    private static async Task<(double Time, int[] Tokens)> RunNativeAsync(Process native, int[] prompt)
    {
        JsonElement answer = await SendAsync(native, new JsonObject
        {
            ["cmd"] = "generate", ["prompt"] = new JsonArray([.. prompt.Select(token => JsonValue.Create(token))]), ["n"] = AnswerTokens,
        });
        return (
            answer.GetProperty("ns").GetInt64() / 1e3 / (AnswerTokens - 1),
            [.. answer.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32())]);
    }

    private static async Task<JsonElement> SendAsync(Process native, JsonObject command)
    {
        await native.StandardInput.WriteLineAsync(command.ToJsonString());
        await native.StandardInput.FlushAsync();
        string line = await native.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("ann-bench has ended.");
        JsonElement answer = JsonElement.Parse(line);
        return answer.TryGetProperty("error", out JsonElement error)
            ? throw new InvalidOperationException($"ann-bench: {error}")
            : answer;
    }
}
