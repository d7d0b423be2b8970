using AnnRuntime.Evaluation;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>Windows on the embedded model: against plain computations, interrupted and resumed, refused.</summary>
public sealed class EvaluationRunnerTests(ModelFixture fixture)
{
    private const int Length = 256;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private EvaluationVariant Exact(int k) => EvaluationVariant.Create("exact", k, fixture.Model.Info, new SearchOptions());

    private EvaluationPlan Plan(params EvaluationVariant[] variants) => new()
    {
        Variants = variants,
        Windows = new TextWindows(fixture.Prose(2 * Length), Length, 2),
        Context = new ContextOptions { Threads = 2 },
        Chunk = 64,
    };

    [Fact]
    public async Task Nll_is_the_softmax_of_the_logits_at_every_target()
    {
        EvaluationPlan plan = Plan(EvaluationVariant.Dense);
        IReadOnlyList<WindowResult> results = await EvaluationRunner.RunAsync(
            fixture.Model, plan, EvaluationJournal.InMemory(), null, Token);
        using AnnContext context = fixture.CreateContext(Length, new SearchOptions { Mode = SearchMode.Dense });
        int[] tokens = plan.Windows[1].ToArray();
        double nll = 0;
        for (int i = 0; i + 1 < tokens.Length; i++)
        {
            if (i % 64 == 0)
            {
                var batch = new Batch();
                Array.ForEach(tokens[i..(i + 64)], token => batch.Add(token, i + batch.Count, wantLogits: true));
                context.Decode(batch, Token);
            }

            double[] logits = [.. context.GetLogits(i % 64).ToArray().Select(x => (double)x)];
            double max = logits.Max();
            nll += max + Math.Log(logits.Sum(x => Math.Exp(x - max))) - logits[tokens[i + 1]];
        }

        Assert.Equal(Length - 1, results[1].Targets);
        Assert.Equal(1.0, results[1].BlockNll.Sum() / nll, 6);
    }

    [Fact]
    public async Task K_of_the_whole_window_is_full_attention_with_all_mass_and_recall()
    {
        EvaluationPlan plan = Plan(EvaluationVariant.Dense, Exact(Length)) with { Measure = true };
        IReadOnlyList<VariantFigures> figures = VariantFigures.From(
            plan,
            await EvaluationRunner.RunAsync(fixture.Model, plan, EvaluationJournal.InMemory(), null, Token),
            fixture.Model.SearchedLayers);
        Assert.InRange(figures[1].GapPercent!.Value, -0.5, 0.5); // two kernels in f16
        Assert.Equal(1, figures[1].Mass!.Value, 4);
        Assert.Equal(1, figures[1].TeacherRecall!.Value, 4);
        Assert.Equal(12, figures[1].Layers.Count);
        Assert.All(figures[1].Layers, layer => Assert.Equal(2 * Length, layer.Queries));
    }

    [Fact]
    public async Task Every_selector_runs_and_the_oracle_keeps_more_mass_than_random_cells()
    {
        EvaluationPlan plan = Plan(
            [.. EvaluationVariant.Selectors.Where(name => name != "hnsw").Select(name => EvaluationVariant.Create(name, 48, fixture.Model.Info, new SearchOptions()))]) with
        {
            Measure = true,
            DenseTrajectory = true,
            Windows = new TextWindows(fixture.Prose(Length), Length, 1),
        };
        Dictionary<string, double> mass = VariantFigures.From(
            plan,
            await EvaluationRunner.RunAsync(fixture.Model, plan, EvaluationJournal.InMemory(), null, Token),
            fixture.Model.SearchedLayers).ToDictionary(row => row.Selector, row => row.Mass!.Value);
        Assert.All(mass.Values, value => Assert.InRange(value, 0.3, 1));
        Assert.True(mass["oracle"] > mass["random"] + 0.02);
        Assert.True(mass["exact"] > mass["random"]);
        Assert.True(mass["oracle"] >= mass["pages"]);
    }

    [Fact]
    public async Task Divergence_of_full_attention_from_itself_is_nothing_and_grows_with_fewer_cells()
    {
        EvaluationPlan plan = Plan(Exact(Length), Exact(40)) with { Compare = true, Windows = new TextWindows(fixture.Prose(Length), Length, 1) };
        IReadOnlyList<WindowResult> results = await EvaluationRunner.RunAsync(
            fixture.Model, plan, EvaluationJournal.InMemory(), null, Token);
        DivergenceFigures same = DivergenceFigures.From("same", [results[0]]), less = DivergenceFigures.From("less", [results[1]]);
        Assert.InRange(same.MeanKl.Mean, 0, 1e-3);
        Assert.InRange(same.SameTopPercent, 98, 100);
        Assert.True(less.MeanKl.Mean > 5 * same.MeanKl.Mean);
        Assert.True(less.SameTopPercent < same.SameTopPercent);
        // the mean log ratio is the difference of the log-likelihoods
        EvaluationPlan dense = plan with { Variants = [EvaluationVariant.Dense], Compare = false };
        WindowResult full = (await EvaluationRunner.RunAsync(fixture.Model, dense, EvaluationJournal.InMemory(), null, Token))[0];
        Assert.Equal((full.BlockNll.Sum() - results[1].BlockNll.Sum()) / full.Targets, less.MeanLogRatio, 4);
    }

    [Fact]
    public async Task An_interrupted_run_goes_on_with_the_windows_that_are_missing()
    {
        using var folder = new ScratchFolder();
        string path = folder["deep/windows.jsonl"];
        EvaluationPlan plan = Plan(EvaluationVariant.Dense, Exact(64));
        IReadOnlyList<WindowResult> whole = await EvaluationRunner.RunAsync(
            fixture.Model, plan, EvaluationJournal.InMemory(), null, Token);
        using (EvaluationJournal journal = EvaluationJournal.Open(path, fixture.Model, plan.Windows))
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            // the third window is cancelled in its middle
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => EvaluationRunner.RunAsync(
                fixture.Model, plan, journal, share =>
                {
                    if (share > 0.55)
                    {
                        stop.Cancel();
                    }
                },
                stop.Token));
        }

        File.AppendAllText(path, "{\"plan\":\"cut off by a crash");
        using EvaluationJournal again = EvaluationJournal.Open(path, fixture.Model, plan.Windows);
        Assert.Equal(2, again.Found);
        var shares = new List<double>();
        IReadOnlyList<WindowResult> resumed = await EvaluationRunner.RunAsync(fixture.Model, plan, again, shares.Add, Token);
        Assert.Equal(whole.Select(result => result.BlockNll.Sum()), resumed.Select(result => result.BlockNll.Sum()));
        Assert.Equal(2 * Length / 64, shares.Count); // two windows were left
        Assert.Equal(1 + 4, File.ReadAllLines(path).Length);
    }

    [Fact]
    public void A_journal_of_another_text_or_of_something_else_is_refused()
    {
        using var folder = new ScratchFolder();
        string path = folder["windows.jsonl"];
        var windows = new TextWindows(fixture.Prose(Length), Length, 1);
        EvaluationJournal.Open(path, fixture.Model, windows).Dispose();
        var other = new TextWindows(fixture.Prose(2 * Length)[Length..], Length, 1);
        Assert.Contains("another model, text", Assert.Throws<ArgumentException>(
            () => EvaluationJournal.Open(path, fixture.Model, other)).Message);
        File.WriteAllText(path, "hello\n");
        Assert.Contains("no journal", Assert.Throws<ArgumentException>(
            () => EvaluationJournal.Open(path, fixture.Model, windows)).Message);
    }

    [Fact]
    public async Task Wrong_plans_are_refused_with_a_sentence()
    {
        Assert.Contains("one window alone has 512", Assert.Throws<ArgumentException>(
            () => new TextWindows(new int[300], 512, 1)).Message);
        Assert.Contains("3 were asked for", Assert.Throws<ArgumentException>(
            () => new TextWindows(new int[300], 128, 3)).Message);
        await Refused(Plan(Exact(Length + 1)), "K = 257, more than the 256 tokens of a window");
        await Refused(Plan(Exact(64).In([2, 12], "x")), "names layer 12");
        await Refused(Plan(Exact(64)) with { MeasuredFrom = 65 }, "no multiple");
        foreach (string text in (string[])["exact:0", "exact:x", "exact:1:2", "nothing", "nothing:4"])
        {
            Assert.Contains(text, Assert.Throws<ArgumentException>(
                () => EvaluationVariant.Parse(text, fixture.Model.Info, new SearchOptions())).Message);
        }
    }

    [Fact]
    public void Sinks_and_window_shrink_with_a_small_K()
    {
        var shared = new SearchOptions { Sinks = 4, Window = 32 };
        EvaluationVariant small = EvaluationVariant.Create("exact", 16, fixture.Model.Info, shared);
        EvaluationVariant large = EvaluationVariant.Create("exact", 64, fixture.Model.Info, shared);
        Assert.Equal((2, 4), (small.Search.Sinks, small.Search.Window));
        Assert.Equal((4, 32), (large.Search.Sinks, large.Search.Window));
    }

    private async Task Refused(EvaluationPlan plan, string text)
    {
        ArgumentException exception = await Assert.ThrowsAsync<ArgumentException>(
            () => EvaluationRunner.RunAsync(fixture.Model, plan, EvaluationJournal.InMemory(), null, Token));
        Assert.Contains(text, exception.Message);
    }
}
