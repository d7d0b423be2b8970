using System.CommandLine;
using AnnRuntime.Evaluation;

namespace AnnRuntime.Cli;

/// <summary>The verb <c>eval tasks</c>: long-context tasks, variants side by side.</summary>
internal static class EvalTasks
{
    public static Command Create(Option<IReadOnlyList<string>> variants)
    {
        var model = new ModelArguments();
        var search = new SearchArguments();
        var context = new ContextArguments(null);
        string[] names = [.. TaskGenerator.Names];
        Option<string[]> tasks = Make.Choices("--tasks", "The tasks.", names, names);
        Option<IReadOnlyList<int>?> lengths = Make.Integers("--lengths", "Tokens of prompt and answer together, at most.", 64, 1024, 4096);
        Option<int> samples = Make.Integer("--samples", "Prompts of each task and length.", 1, 100_000, 5);
        Option<int> seed = Make.Integer("--seed", "Seed of prompts and of selectors with random parts.", 0, int.MaxValue, 1);
        Option<string?> prompts = new("--prompts")
        {
            Description = "Prompts of a JSONL file with the texts prompt and answer, in place of --tasks.", HelpName = "FILE",
        };
        var output = new EvalOutput();
        Command command = new(
            "tasks",
            "Passwords, needles in haystacks, variable tracking and word counting after RULER, answered by full attention and by choices of cells.");
        model.AddTo(command);
        Option[] own = [tasks, lengths, samples, seed, prompts, variants];
        Array.ForEach(own, command.Options.Add);
        output.AddTo(command);
        search.AddTo(command, withMode: false);
        context.AddTo(command, withLength: false);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            int first = parse.GetValue(seed);
            SearchOptions shared = search.Read(parse) with { Mode = SearchMode.Exact, Seed = first };
            string[] wanted = [.. parse.GetValue(variants)!];
            if (!loaded.Info.HasSearch && parse.GetResult(variants) is not { Implicit: false })
            {
                wanted = ["dense"];
            }

            EvaluationVariant[] list = [.. wanted.Select(text => EvaluationVariant.Parse(text, loaded.Info, shared))];
            IReadOnlyList<TaskPrompt> asked = parse.GetValue(prompts) is { } file
                ? TaskPrompt.Read(loaded, file)
                : [.. parse.GetValue(lengths)!.SelectMany(length => parse.GetValue(tasks)!.SelectMany(task =>
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    return TaskGenerator.Create(loaded, task, length, parse.GetValue(samples), first);
                }))];
            using TaskJournal journal = output.Folder(parse) is { } path
                ? TaskJournal.Open(Path.Combine(path, "answers.jsonl"), loaded)
                : TaskJournal.InMemory();
            ContextOptions options = context.Read(parse, 1, new SearchOptions());
            IReadOnlyList<TaskScore> scores = await terminal.ProgressAsync(
                $"tasks: {list.Length} variants answer {asked.Count} prompts",
                step => TaskRunner.RunAsync(
                    loaded, asked, list, options, journal, step, cancellationToken));
            output.Write(
                parse,
                terminal,
                EvalOutput.Begin("tasks", loaded, options.Threads, EvalArguments.CommandLine(parse)) with
                {
                    Tasks = scores,
                });
            return ExitCode.Ok;
        });
    }
}
