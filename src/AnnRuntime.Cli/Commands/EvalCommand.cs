using System.CommandLine;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>eval</c>: the figures of the method, each with a verb of its own.</summary>
internal static class EvalCommand
{
    private const string VariantHelp =
        "dense, or a choice of cells with its K: exact:128 (the learned search), hnsw:128 (the same by an index, where tokens come one by "
        + "one: --decode), oracle:128 (largest logit of any head), "
        + "pages:128 (Quest), recent:128 (sinks and window), bigbird:128, lsh:128 (Reformer), random:128.";

    public static Command Create() => new(
        "eval", "Perplexity, attention mass, divergence and long-context tasks of full attention and of choices of cells.")
    {
        Perplexity(),
        Sweep(),
        Layers(),
        EvalCoverage.Create(),
        Paired(),
        Divergence(),
        Dynamic(),
        EvalScaling.Create(),
        EvalTasks.Create(VariantsOption("Who answers. Default: dense,exact.", "dense", "exact")),
        EvalReport.Create(),
    };

    /// <summary>A verb that works on a text.</summary>
    internal static Command OnText(
        string verb, string description, IEnumerable<Option> options,
        Func<EvalRun, ParseResult, CancellationToken, Task<EvaluationDocument>> body)
    {
        var arguments = new EvalArguments();
        return OnText(verb, description, options, arguments, body);
    }

    private static Command OnText(
        string verb, string description, IEnumerable<Option> options, EvalArguments arguments,
        Func<EvalRun, ParseResult, CancellationToken, Task<EvaluationDocument>> body)
    {
        Command command = new(verb, description);
        arguments.AddTo(command);
        foreach (Option option in options)
        {
            command.Options.Add(option);
        }

        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using EvalRun run = await arguments.OpenAsync(verb, parse, terminal, cancellationToken);
            run.Finish(await body(run, parse, cancellationToken));
            return ExitCode.Ok;
        });
    }

    private static Option<IReadOnlyList<string>> VariantsOption(string description, params string[] defaults) => new("--variants")
    {
        Description = $"{description} {VariantHelp}",
        HelpName = "A,B,...",
        DefaultValueFactory = _ => defaults,
        CustomParser = result => [.. result.Tokens[^1].Value.ToLowerInvariant().Split(',', StringSplitOptions.TrimEntries).Distinct()],
    };

    private static Command Perplexity()
    {
        Option<IReadOnlyList<string>> variants = VariantsOption("What is compared, separated by commas. Default: dense,exact.", "dense", "exact");
        Option<bool> mass = new("--mass") { Description = "Measures attention mass and teacher recall too." };
        return OnText(
            "ppl", "Perplexity of windows of a text, every token a query; with --chunk 1 token by token.", [variants, mass],
            async (run, parse, cancellationToken) =>
            {
                IEnumerable<string> wanted = parse.GetValue(variants)!;
                bool given = parse.GetResult(variants) is { Implicit: false };
                EvaluationPlan plan = run.Plan(run.Parse(given || run.Model.Info.HasSearch ? wanted : ["dense"])) with
                {
                    Measure = parse.GetValue(mass),
                };
                IReadOnlyList<WindowResult> results = await run.RunAsync(plan, cancellationToken);
                return run.Document() with { Variants = VariantFigures.From(plan, results, run.Model.SearchedLayers) };
            });
    }

    private static Command Sweep()
    {
        Option<string[]> selectors = Make.Choices(
            "--selectors", "Choices of cells, each with every K.", [.. EvaluationVariant.Selectors], ["exact"]);
        Option<IReadOnlyList<int>?> topK = Make.Integers(
            "--top-k", "K, sinks and window included. Below sinks + window these shrink to K/8 and K/4.", 1, 16, 32, 64, 128, 256, 512, 1024);
        Option<bool> noMass = new("--no-mass") { Description = "Does not measure mass and recall: about twice as fast." };
        Option<bool> time = new("--time") { Description = "Times the choice of cells; every node of the graph then runs alone." };
        return OnText(
            "sweep", "Perplexity gap, attention mass and teacher recall over K, for one or several choices of cells side by side.",
            [selectors, topK, noMass, time],
            async (run, parse, cancellationToken) =>
            {
                IReadOnlyList<int> ks = parse.GetValue(topK)!;
                EvaluationPlan plan = run.Plan(
                    [EvaluationVariant.Dense, .. parse.GetValue(selectors)!.SelectMany(selector => ks.Select(k => run.Variant(selector, k)))]) with
                {
                    Measure = !parse.GetValue(noMass),
                    Time = parse.GetValue(time),
                };
                IReadOnlyList<WindowResult> results = await run.RunAsync(plan, cancellationToken);
                return run.Document() with { Variants = VariantFigures.From(plan, results, run.Model.SearchedLayers) };
            });
    }

    private static Command Layers()
    {
        Option<int?> topK = Make.Integer("--top-k", "K. Default: the file's.", 1);
        Option<string?> trajectory = Make.Choice(
            "--trajectory", "Whose hidden states are measured. dense: full attention's, for both. own: each choice's. Default: dense.", "dense", "own");
        return OnText(
            "layers", "Attention mass of the learned search in every layer beside the oracle's; names weak layers, proposes which to reserve.",
            [topK, trajectory],
            async (run, parse, cancellationToken) =>
            {
                int k = parse.GetValue(topK) ?? run.Model.Info.TopK;
                EvaluationPlan plan = run.Plan([run.Variant("exact", k), run.Variant("oracle", k)]) with
                {
                    Measure = true,
                    DenseTrajectory = parse.GetValue(trajectory) != "own",
                };
                IReadOnlyList<VariantFigures> figures = VariantFigures.From(
                    plan, await run.RunAsync(plan, cancellationToken), run.Model.SearchedLayers);
                IReadOnlyList<LayerAdvice> layers = LayerAdvice.From(figures[0], figures[1]);
                return run.Document() with { Variants = figures, Layers = layers, Reserve = LayerAdvice.Reserve(layers) };
            });
    }

    private static Command Paired()
    {
        Option<IReadOnlyList<string>> variants = VariantsOption(
            "The first is compared with each of the others. Default: dense,exact.", "dense", "exact");
        Option<string?> against = new("--against")
        {
            Description = "Another GGUF file with the same vocabulary: every choice of --variants is compared with the same choice there.",
            HelpName = "FILE",
        };
        var arguments = new EvalArguments();
        return OnText(
            "paired", "Difference of log-likelihood between choices, or models, on the same tokens, with a bootstrap interval and a verdict.",
            [variants, against], arguments,
            async (run, parse, cancellationToken) =>
            {
                IReadOnlyList<string> names = parse.GetValue(variants)!;
                if (parse.GetValue(against) is { } path)
                {
                    using EvalRun other = await arguments.OpenOtherAsync(run, path, parse, cancellationToken);
                    return await EvalPairs.OfModelsAsync(run, other, names, cancellationToken);
                }

                return await EvalPairs.OfVariantsAsync(run, names, cancellationToken);
            });
    }

    private static Command Divergence()
    {
        Option<IReadOnlyList<string>> variants = VariantsOption("What is compared with full attention. Default: exact.", "exact");
        return OnText(
            "kld", "KL divergence and agreement of next-token distributions with full attention, as llama-perplexity measures them.", [variants],
            async (run, parse, cancellationToken) =>
            {
                IReadOnlyList<EvaluationVariant> list = [.. run.Parse(parse.GetValue(variants)!).Where(variant => !variant.IsDense)];
                EvaluationPlan plan = run.Plan(list) with { Compare = true };
                ILookup<string, WindowResult> results = (await run.RunAsync(plan, cancellationToken)).ToLookup(result => result.Variant);
                return run.Document() with
                {
                    Divergence = [.. list.Select(variant => DivergenceFigures.From(variant.Name, [.. results[variant.Key]]))],
                };
            });
    }

    private static Command Dynamic()
    {
        Option<int?> topK = Make.Integer("--top-k", "K. Default: the file's.", 1);
        Option<int?> prefill = Make.Integer("--prefill", "Tokens in the index before it is frozen. Default: half a window.", 1);
        Option<int> recent = Make.Integer("--recent", "Last cells attended to beside a frozen index.", 1, int.MaxValue, 64);
        return OnText(
            "dynamic", "Attention mass behind the prefill with an index that grows, and with one frozen after it beside a recent window.",
            [topK, prefill, recent],
            async (run, parse, cancellationToken) =>
            {
                int k = parse.GetValue(topK) ?? run.Model.Info.TopK;
                int from = (parse.GetValue(prefill) ?? run.Windows.Length / 2) / run.Chunk * run.Chunk;
                if (from < run.Chunk || from >= run.Windows.Length)
                {
                    throw new ArgumentException(
                        $"--prefill leaves {from} whole chunks' tokens of {run.Windows.Length}; it must be {run.Chunk} to {run.Windows.Length - 1}.");
                }

                EvaluationVariant grows = run.Variant("exact", k);
                EvaluationVariant wide = Wide(run, k, parse.GetValue(recent));
                EvaluationPlan plan = run.Plan(
                [
                    grows with { Name = "grows" },
                    wide with { Name = "grows, recent window" },
                    wide with { Name = "frozen, recent window", Search = wide.Search with { FrozenCells = from } },
                    grows with { Name = "frozen", Search = grows.Search with { FrozenCells = from } },
                ]) with
                {
                    Measure = true,
                    DenseTrajectory = true,
                    MeasuredFrom = from,
                };
                IReadOnlyList<WindowResult> results = await run.RunAsync(plan, cancellationToken);
                return run.Document() with { Variants = VariantFigures.From(plan, results, run.Model.SearchedLayers) };
            });
    }

    // the same K in all: what the wider window takes, the search lacks
    private static EvaluationVariant Wide(EvalRun run, int k, int recent)
    {
        EvaluationVariant variant = run.Variant("exact", k);
        if (variant.Search.Sinks + recent > k)
        {
            throw new ArgumentException($"--recent is {recent}; with {variant.Search.Sinks} sinks it must be at most {k - variant.Search.Sinks}, so that K = {k} holds both.");
        }

        return variant with { Search = variant.Search with { Window = recent } };
    }
}
