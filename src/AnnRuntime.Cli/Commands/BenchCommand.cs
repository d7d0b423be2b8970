using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>bench</c>: speed of prompts and of generation at depths, beside the unpatched library.</summary>
internal static class BenchCommand
{
    public static Command Create()
    {
        var model = new ModelArguments();
        Option<IReadOnlyList<int>?> prompts = Make.Integers("--n-prompt", "Tokens of prompts to time; 0: none.", 0, 512);
        prompts.Aliases.Add("-p");
        Option<IReadOnlyList<int>?> generations = Make.Integers("--n-gen", "Tokens to generate one by one; 0: none.", 0, 32);
        generations.Aliases.Add("-n");
        Option<IReadOnlyList<int>?> depths = Make.Integers("--n-depth", "Cells in use before each test.", 0, 0);
        depths.Aliases.Add("-d");
        Option<int> repetitions = Make.Integer("--repetitions", "Samples of each test.", 1, 1000, 5, "-r");
        Option<bool> cold = new("--no-warmup") { Description = "Does not run each test once before." };
        Option<string?> fill = Make.Choice(
            "--fill",
            "How cells come into use. random: contents that nothing computed, noise but for search keys, which are clustered as a "
            + "text's. prefill: by computing them. Default: random.",
            "random", "prefill");
        Option<string[]> modes = Make.Choices(
            "--modes",
            "dense: full attention. exact: exact search. hnsw: search by index; its rows tell recall_index beside speed. auto: by "
            + "index where that is faster.",
            ["dense", "exact", "hnsw", "auto"], ["dense", "exact"]);
        Option<IReadOnlyList<int>?> topK = Make.Integers(
            "--top-k", "K of the modes exact, hnsw and auto, each is a variant. Default: the file's.", 1);
        Option<IReadOnlyList<int>?> reserve = Make.Integers(
            "--reserve", "Layers that do not search in the modes that do, spread evenly; each is a variant. Default: the file's.", 0);
        Option<bool> stock = new("--stock")
        {
            Description = "Times the unpatched library too: f16 K/V without and with flash attention, q8_0 K/V with it.",
        };
        Option<string?> stockModel = new("--stock-model")
        {
            Description = "The model without projections for --stock. Default: made in a temporary file.", HelpName = "FILE",
        };
        Option<string?> format = Make.Choice("--output", "Format of the rows on stdout. Default: md.", BenchOutput.Formats);
        format.Aliases.Add("-o");
        Option<string?> record = new("--record")
        {
            Description = "Appends the rows to benchmarks/records/MACHINE/DATE-SUITE.jsonl, or to a file FILE.jsonl.",
            HelpName = "SUITE|FILE",
        };
        var search = new SearchArguments();
        var context = new ContextArguments(null);
        Command command = new(
            "bench", "Times prompts (pp) and generation (tg) at depths; the repetitions of all variants alternate.");
        model.AddTo(command);
        Option[] own =
            [prompts, generations, depths, repetitions, cold, fill, modes, topK, reserve, stock, stockModel, format, record];
        Array.ForEach(own, command.Options.Add);
        search.AddTo(command, withMode: false);
        context.AddTo(command, withLength: false);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            IReadOnlyList<BenchTest> tests = BenchPlan.CreateTests(
                parse.GetValue(prompts)!, parse.GetValue(generations)!, parse.GetValue(depths)!);
            if (tests.Count == 0)
            {
                throw new ArgumentException("-p and -n are both 0; nothing is left to time.");
            }

            string? program = parse.GetValue(stock) ? StockModel.FindProgram() : null;
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            if (!loaded.Info.HasSearch)
            {
                throw new UnsupportedModelException($"The model '{loaded.Path}' has no search projections; bench times them.");
            }

            using StockModel? peer = program is null
                ? null
                : await StockModel.CreateAsync(loaded, parse.GetValue(stockModel), terminal, cancellationToken);
            ContextOptions Options(SearchOptions chosen)
            {
                ContextOptions read = context.Read(parse, 1, chosen);
                return read with { Threads = read.Threads > 0 ? read.Threads : Environment.ProcessorCount };
            }

            ContextOptions shared = Options(new SearchOptions());
            BenchRow row = BenchMachine.Describe(RuntimeInfo.Get(), shared.Threads) with
            {
                Command = BenchMachine.Command(parse.Tokens.Select(token => token.Value)),
            };
            List<BenchVariant> variants =
            [
                .. BenchVariants.Ours(
                    loaded, row, RecallVariant.From(parse.GetValue(modes)!, parse.GetValue(topK), search.Read(parse)),
                    parse.GetValue(reserve), Options),
            ];
            if (peer is not null)
            {
                variants.AddRange(BenchVariants.Stock(loaded, row, program!, peer.Path, peer.Name, shared));
            }

            long available = (long)(0.95 * loaded.EstimateMemory(shared).AvailableBytes);
            var plan = new BenchPlan(
                tests, variants, parse.GetValue(repetitions), !parse.GetValue(cold), parse.GetValue(fill) != "prefill", available);
            string? path = parse.GetValue(record) is { } name ? BenchRecord.PathOf(name, row.Machine, DateTime.UtcNow) : null;
            return await RunAsync(plan, path, parse.GetValue(format) ?? "md", terminal, cancellationToken);
        });
    }

    private static async Task<int> RunAsync(
        BenchPlan plan, string? record, string format, Terminal terminal, CancellationToken cancellationToken)
    {
        var rows = new List<BenchRow>();
        List<string> failures = await terminal.ProgressAsync(
            $"Timing {plan.Tests.Count} tests of {plan.Variants.Count} variants",
            step => Task.Run(() =>
            {
                var runner = new BenchRunner(plan, terminal, step, cancellationToken);
                runner.Run(done =>
                {
                    rows.AddRange(done);
                    if (record is not null)
                    {
                        BenchRecord.Append(record, done);
                    }
                });
                return runner.Failures;
            }));
        BenchOutput.Write(terminal.Output, rows, format);
        failures.ForEach(failure => terminal.Error.WriteLine($"Not timed: {failure}"));
        return failures.Count == 0 ? ExitCode.Ok : ExitCode.Failed;
    }
}
