namespace AnnRuntime.Benchmarks;

/// <summary>Time to the first token of two questions about one long document.</summary>
internal static class QuestionBenchmark
{
    private const int Rounds = 2;
    private const int AnswerTokens = 16;

    public static async Task<object> RunAsync(AnnModel model, int threads)
    {
        int length = model.Info.TrainingLength;
        int[] document = Figures.Prose(model, 0, length - 128);
        List<double> first = [], second = [];
        int cached = 0;
        for (int round = 0; round < Rounds; round++)
        {
            Console.Error.WriteLine($"question: round {round + 1} of {Rounds} ...");
            await using var engine = new GenerationEngine(model, new EngineOptions
            {
                Context = new ContextOptions { ContextLength = length, MaxSequences = 2, Threads = threads },
            });
            first.Add((await AskAsync("What is the text about?")).Milliseconds);
            (double time, cached) = await AskAsync("And which animals does it name?");
            second.Add(time);

            async Task<(double Milliseconds, int Cached)> AskAsync(string question)
            {
                int[] asked = model.Tokenizer.Tokenize($"\n\nQuestion: {question}\nAnswer:", addSpecial: false);
                using Generation generation = engine.Submit(new GenerationRequest
                {
                    Prompt = [.. document, .. asked],
                    Options = Figures.Greedy(AnswerTokens),
                });
                GenerationResult result = await generation.Result;
                return (generation.TimeToFirstToken!.Value.TotalMilliseconds, result.Timings.CachedTokens);
            }
        }

        return new
        {
            test = "question",
            n_document = document.Length,
            n_cached = cached,
            first_ms = Figures.Rounded(first),
            second_ms = Figures.Rounded(second),
            second_of_first_percent = Math.Round(100 * Figures.Median(second.Zip(first, (late, early) => late / early)), 2),
        };
    }
}
