using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>recall</c>: hides passwords in long texts and asks for them.</summary>
internal static class RecallCommand
{
    public static Command Create()
    {
        var model = new ModelArguments();
        Option<IReadOnlyList<int>?> lengths = Make.Integers(
            "--lengths", "Tokens of the prompts.", 64, 1024, 2048, 4096, 8192);
        Option<int> count = Make.Integer(
            "--prompts", "Prompts per length and needle, each with the next seed.", 1, 1000, 1);
        Option<int> seed = Make.Integer("--seed", "Seed of the first prompt.", 0, int.MaxValue, 1);
        Option<string[]> modes = Make.Choices(
            "--modes",
            "off: attention of unpatched llama.cpp. dense: search keys kept, full attention. exact: exact search. "
            + "hnsw: search by index. auto: by index where that is faster.",
            ["off", "dense", "exact", "hnsw", "auto"], ["off", "exact"]);
        Option<IReadOnlyList<int>?> topK = Make.Integers(
            "--top-k", "K of the modes exact, hnsw and auto, each is a variant. Default: the file's.", 1);
        string[] positions = [.. Enum.GetNames<NeedlePosition>().Select(name => name.ToLowerInvariant())];
        Option<string[]> needles = Make.Choices(
            "--needles", "Where the password stands in the text.", positions, positions);
        Option<string?> format = Make.Choice(
            "--format", "plain: a text. chat: a user's turn in the model's chat template. Default: plain.", "plain", "chat");
        Option<string?> words = Make.Choice(
            "--words",
            "known: words that the embedded model knows from other passwords. unseen: words that it does not. Default: known.",
            "known", "unseen");
        var search = new SearchArguments();
        var context = new ContextArguments(null);
        Option<bool> mass = new("--mass")
        {
            Description = "Measures attention mass and teacher recall of the answer, in a second pass that is not timed.",
        };
        Option<int?> least = Make.Integer(
            "--min-pass", "Fails with exit code 1 if any variant answers fewer percent of its prompts. Default: no limit.", 0, 100);
        Option<bool> json = JsonArgument.Create();
        Command command = new(
            "recall",
            "Hides a password in a long text, asks for it and says which answers are right, variant by variant.");
        model.AddTo(command);
        command.Options.Add(lengths);
        command.Options.Add(count);
        command.Options.Add(seed);
        command.Options.Add(modes);
        command.Options.Add(topK);
        command.Options.Add(needles);
        command.Options.Add(format);
        command.Options.Add(words);
        search.AddTo(command, withMode: false);
        context.AddTo(command, withLength: false);
        command.Options.Add(mass);
        command.Options.Add(least);
        command.Options.Add(json);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            bool chat = parse.GetValue(format) == "chat";
            bool unseen = parse.GetValue(words) == "unseen";
            var plan = new RecallPlan(
                RecallPlan.CreatePrompts(
                    loaded,
                    parse.GetValue(lengths)!,
                    [.. parse.GetValue(needles)!.Select(name => Enum.Parse<NeedlePosition>(name, ignoreCase: true))],
                    Enumerable.Range(parse.GetValue(seed), parse.GetValue(count)),
                    chat, unseen, cancellationToken),
                RecallVariant.From(parse.GetValue(modes)!, parse.GetValue(topK), search.Read(parse)),
                (cells, variant) => context.Read(parse, cells, variant),
                parse.GetValue(mass));
            IReadOnlyList<RecallRow> rows = await RecallRunner.RunAsync(loaded, plan, terminal, cancellationToken);
            IReadOnlyList<RecallSummary> summary = RecallSummary.From(rows);
            if (parse.GetValue(json))
            {
                var report = new RecallReport(
                    loaded.Path, chat ? "chat" : "plain", unseen ? "unseen" : "known", summary, rows);
                JsonOutput.Write(terminal, report, types => types.RecallReport);
            }
            else
            {
                RecallTables.WriteRows(terminal, rows);
                RecallTables.WriteSummary(terminal, summary);
            }

            return Check(terminal, rows, parse.GetValue(least));
        });
    }

    private static int Check(Terminal terminal, IReadOnlyList<RecallRow> rows, int? least)
    {
        int code = ExitCode.Ok;
        foreach (IGrouping<string, RecallRow> variant in rows.GroupBy(row => row.Variant))
        {
            double percent = 100.0 * variant.Count(row => row.Pass) / variant.Count();
            if (percent < least)
            {
                terminal.Error.WriteLine($"{variant.Key} answers {percent:0.#} % of its prompts; --min-pass is {least} %.");
                code = ExitCode.Failed;
            }
        }

        return code;
    }
}
