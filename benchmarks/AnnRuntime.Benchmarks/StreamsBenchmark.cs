using System.Diagnostics;

namespace AnnRuntime.Benchmarks;

/// <summary>Tokens per second of 8 answers computed at once, and of the same 8 one after the other.</summary>
internal static class StreamsBenchmark
{
    private const int Streams = 8;
    private const int PromptTokens = 256;
    private const int AnswerTokens = 128;
    private const int Rounds = 3;

    public static async Task<object> RunAsync(AnnModel model, int threads)
    {
        await using var engine = new GenerationEngine(model, new EngineOptions
        {
            Context = new ContextOptions { ContextLength = Streams * 512, MaxSequences = Streams, Threads = threads },
        });
        GenerationRequest[] requests = [.. Enumerable.Range(0, Streams).Select(index => new GenerationRequest
        {
            Prompt = Figures.Prose(model, 7 * index, PromptTokens + 3 * index),
            Options = Figures.Greedy(AnswerTokens),
        })];
        List<double> one = [], eight = [], ratios = [];
        int equal = 0, compared = 0;
        for (int round = -1; round < Rounds; round++) // the first computes the prompts and is not counted
        {
            Console.Error.WriteLine($"streams: round {round + 1} of {Rounds} ...");
            var clock = Stopwatch.StartNew();
            List<GenerationResult> serial = [];
            foreach (GenerationRequest request in requests)
            {
                serial.Add(await engine.CompleteAsync(request));
            }

            double alone = Streams * AnswerTokens / clock.Elapsed.TotalSeconds;
            clock.Restart();
            GenerationResult[] parallel = await Task.WhenAll(requests.Select(request => engine.CompleteAsync(request)));
            double together = Streams * AnswerTokens / clock.Elapsed.TotalSeconds;
            if (round < 0)
            {
                continue;
            }

            one.Add(alone);
            eight.Add(together);
            ratios.Add(together / alone);
            equal += serial.Zip(parallel).Count(pair => pair.First.Tokens.SequenceEqual(pair.Second.Tokens));
            compared += Streams;
        }

        return new
        {
            test = "streams",
            streams = Streams,
            n_prompt = PromptTokens,
            n_gen = AnswerTokens,
            one_tokens_per_second = Figures.Rounded(one),
            parallel_tokens_per_second = Figures.Rounded(eight),
            ratio_median = Math.Round(Figures.Median(ratios), 2),
            answers_equal = $"{equal} of {compared}",
        };
    }
}
