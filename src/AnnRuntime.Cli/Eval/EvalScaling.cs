using System.CommandLine;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The verb <c>eval scaling</c>: what a choice of cells costs from 4K to 4M cells.</summary>
internal static class EvalScaling
{
    public static Command Create()
    {
        var model = new ModelArguments();
        var context = new ContextArguments(null);
        string[] names = [.. ScalingProbe.Selectors];
        Option<IReadOnlyList<int>?> cells = Make.Integers("--cells", "Cells of the caches that are measured, filled at random.", 256, 4096, 16384);
        Option<string[]> selectors = Make.Choices("--selectors", "What is measured.", names, names);
        Option<int?> topK = Make.Integer("--top-k", "K. Default: the file's.", 1);
        Option<int> queries = Make.Integer("--queries", "Queries of each.", 1, 4096, 16);
        var output = new EvalOutput();
        Command command = new(
            "scaling",
            "Comparisons, bytes and time of one query in one layer: by formula from 4K to 4M cells, and counted in caches of random contents.");
        model.AddTo(command);
        Option[] own = [cells, selectors, topK, queries];
        Array.ForEach(own, command.Options.Add);
        output.AddTo(command);
        context.AddTo(command, withLength: false);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            int k = parse.GetValue(topK) ?? loaded.Info.TopK;
            ContextOptions options = context.Read(parse, 1, new SearchOptions());
            IReadOnlyList<int> sizes = [.. parse.GetValue(cells)!.Order()];
            double all = sizes.Sum(size => (double)size);
            IReadOnlyList<ScalingPoint> points = await terminal.ProgressAsync<IReadOnlyList<ScalingPoint>>(
                $"scaling: {string.Join(", ", sizes)} cells",
                step => Task.Run<IReadOnlyList<ScalingPoint>>(
                    () =>
                    [
                        .. sizes.SelectMany(size => ScalingProbe.Measure(
                            loaded, options, size, k, parse.GetValue(selectors)!, parse.GetValue(queries),
                            share => step((sizes.Where(smaller => smaller < size).Sum(smaller => (double)smaller) + share * size) / all),
                            cancellationToken)),
                    ],
                    cancellationToken));
            output.Write(
                parse,
                terminal,
                EvalOutput.Begin("scaling", loaded, options.Threads, EvalArguments.CommandLine(parse)) with
                {
                    Costs = SelectorCost.Table(k, loaded.Info),
                    Scaling = points,
                });
            return ExitCode.Ok;
        });
    }
}
