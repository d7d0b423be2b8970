using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>generate</c>: continues a text.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var model = new ModelArguments();
        Option<string?> prompt = new("--prompt", "-p") { Description = "The text to continue.", HelpName = "TEXT" };
        Option<string?> file = new("--file", "-f")
        {
            Description = "A file with the text to continue; - reads standard input.",
            HelpName = "FILE",
        };
        Option<int> count = Make.Integer(
            "--tokens", "Most tokens of the answer.", 1, int.MaxValue, 128, "-n");
        var context = new ContextArguments("what prompt and answer need");
        var search = new SearchArguments();
        var sampling = new SamplingArguments();
        Option<string[]> stops = new("--stop")
        {
            Description = "A text that ends the answer; may be given several times.",
            HelpName = "TEXT",
        };
        Option<bool> ignoreEnd = new("--ignore-eos") { Description = "Goes on when the model wants to end." };
        Option<string?> statistics = Make.Choice(
            "--stats",
            "Measures each layer and prints a table to stderr. time: search and attention; slower. mass: attention mass and "
            + "teacher recall of the chosen cells. Default: nothing.",
            "time", "mass");
        Option<bool> json = JsonArgument.Create();
        Command command = new("generate", "Continues a text and prints tokens as they come; timings go to stderr.");
        model.AddTo(command);
        command.Options.Add(prompt);
        command.Options.Add(file);
        command.Options.Add(count);
        search.AddTo(command);
        context.AddTo(command);
        sampling.AddTo(command);
        command.Options.Add(stops);
        command.Options.Add(ignoreEnd);
        command.Options.Add(statistics);
        command.Options.Add(json);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            string text = await PromptText.ReadAsync(parse.GetValue(prompt), parse.GetValue(file), cancellationToken);
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            int[] tokens = loaded.Tokenizer.Tokenize(text);
            var options = new GenerationOptions
            {
                MaxTokens = parse.GetValue(count),
                Sampling = sampling.Read(parse),
                StopStrings = parse.GetValue(stops) ?? [],
                IgnoreEndOfGeneration = parse.GetValue(ignoreEnd),
            };
            int needed = (int)Math.Min((long)tokens.Length + options.MaxTokens.Value, int.MaxValue);
            using AnnContext created = loaded.CreateContext(
                context.Read(parse, Math.Max(needed, 1), search.Read(parse)));
            if (parse.GetValue(statistics) is { } kind)
            {
                created.StartStatistics(kind == "time" ? StatisticsKinds.Time : StatisticsKinds.Mass);
            }

            return await RunAsync(created, tokens, options, parse.GetValue(json), terminal, cancellationToken);
        });
    }

    private static async Task<int> RunAsync(
        AnnContext context, int[] tokens, GenerationOptions options, bool json, Terminal terminal,
        CancellationToken cancellationToken)
    {
        await using var session = new AnnSession(context);
        var sink = new PrefillSink();
        await using IAsyncEnumerator<GeneratedToken> answer = session
            .GenerateAsync(tokens, options, sink, cancellationToken)
            .GetAsyncEnumerator(cancellationToken);
        bool more = await terminal.ProgressAsync("Prompt", step =>
        {
            sink.Step = step;
            return answer.MoveNextAsync().AsTask();
        });
        for (; more; more = await answer.MoveNextAsync())
        {
            if (!json)
            {
                terminal.Output.Write(answer.Current.Text);
                terminal.Output.Flush();
            }
        }

        GenerationResult result = session.LastResult!;
        if (json)
        {
            JsonOutput.Write(terminal, ToReport(context, result), types => types.GenerateReport);
            return ExitCode.Ok;
        }

        terminal.Output.WriteLine();
        terminal.Error.WriteLine($"{Format.Timings(result.Timings)}; {Format.Search(context.Search)}");
        if (result.Retrieval is { } retrieval)
        {
            RetrievalTable.Write(terminal, retrieval);
        }

        return ExitCode.Ok;
    }

    private static GenerateReport ToReport(AnnContext context, GenerationResult result) => new(
        context.Model.Path,
        result.Text,
        result.Tokens,
        result.FinishReason.ToString(),
        TimingsReport.From(result.Timings),
        SearchReport.From(context.Search),
        MemoryReport.From(context.Memory),
        RetrievalReport.From(result.Retrieval));
}
