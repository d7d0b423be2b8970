using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>demo</c>: full attention and search side by side on the same long prompts.</summary>
internal static class DemoCommand
{
    /// <summary>The seed of the demo's prompts. The first that was tried; it is not chosen by its result.</summary>
    public const int Seed = 1;

    private static readonly int[] TopK = [128, 256];

    public static Command Create()
    {
        var model = new ModelArguments();
        Option<int> length = Make.Integer("--length", "Tokens of each prompt.", 64, int.MaxValue, 8192);
        Option<int> seed = Make.Integer("--seed", $"Seed of the prompts.", 0, int.MaxValue, Seed);
        Option<int?> threads = Make.Integer("--threads", "Threads. Default: physical cores.", 1, 1024);
        Option<bool> json = JsonArgument.Create();
        Command command = new(
            "demo",
            "Asks a small trained model for a password in a text of 8192 tokens, three times: with the password at the start, "
            + "in the middle and near the end. Full attention and exact search at K = 128 and 256 answer the same prompts; "
            + "every answer is shown, wrong ones too. A wrong answer is no failure of the command.");
        model.AddTo(command);
        command.Options.Add(length);
        command.Options.Add(seed);
        command.Options.Add(threads);
        command.Options.Add(json);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            if (!loaded.Info.HasSearch)
            {
                throw new UnsupportedModelException(
                    $"The model '{loaded.Path}' has no search projections; the demo compares search with full attention.");
            }

            var plan = new RecallPlan(
                RecallPlan.CreatePrompts(
                    loaded, [parse.GetValue(length)], Enum.GetValues<NeedlePosition>(), [parse.GetValue(seed)],
                    chat: false, unseenWords: false, cancellationToken),
                [
                    new RecallVariant("full", new SearchOptions { Mode = SearchMode.Off }),
                    .. TopK.Select(k => new RecallVariant(
                        $"exact K={k}", new SearchOptions { Mode = SearchMode.Exact, TopK = k })),
                ],
                (cells, search) => new ContextOptions
                {
                    ContextLength = cells,
                    Threads = parse.GetValue(threads) ?? 0,
                    Search = search,
                },
                MeasureMass: true);
            IReadOnlyList<RecallRow> rows = await RecallRunner.RunAsync(loaded, plan, terminal, cancellationToken);
            IReadOnlyList<RecallSummary> summary = RecallSummary.From(rows);
            if (parse.GetValue(json))
            {
                JsonOutput.Write(
                    terminal, new RecallReport(loaded.Path, "plain", "known", summary, rows), types => types.RecallReport);
                return ExitCode.Ok;
            }

            terminal.Output.WriteLine(
                $"{Path.GetFileName(loaded.Path)}: {loaded.Info.SearchedLayers} of {loaded.Info.Layers} layers search, "
                + $"{loaded.Info.SearchLength} dims. Prompts of {parse.GetValue(length)} tokens, seed {parse.GetValue(seed)}.");
            RecallTables.WriteRows(terminal, rows);
            RecallTables.WriteSummary(terminal, summary);
            Conclude(terminal, rows);
            return ExitCode.Ok;
        });
    }

    // says in words what went wrong, so that no one has to find it in the table
    private static void Conclude(Terminal terminal, IReadOnlyList<RecallRow> rows)
    {
        foreach (IGrouping<string, RecallRow> variant in rows.GroupBy(row => row.Variant))
        {
            RecallRow[] wrong = [.. variant.Where(row => !row.Pass)];
            string name = variant.Key == "full" ? "Full attention" : $"Search, {variant.Key}";
            terminal.Output.WriteLine(wrong.Length == 0
                ? $"{name}: all {variant.Count()} answers right."
                : $"{name}: {wrong.Length} of {variant.Count()} answers wrong (needle {string.Join(", ", wrong.Select(row => row.Needle))}).");
        }
    }
}
