using AnnRuntime.Cli;
using AnnRuntime.Gguf;
using AnnRuntime.Tests.Cli;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Training;

/// <summary>Training from text to a model file, on the embedded model without its projections.</summary>
public sealed class TrainingTests : IDisposable
{
    private readonly ScratchFolder _folder = new();
    private readonly string _base;
    private readonly string _text;

    public TrainingTests()
    {
        _base = _folder["base.gguf"];
        _text = _folder["text.txt"];
        ModelSplitter.Split(RepositoryFiles.EmbeddedModel, _folder["old.safetensors"], _base, overwrite: false);
        File.Copy(RepositoryFiles.Filler, _text);
    }

    public void Dispose() => _folder.Dispose();

    private static TrainingOptions Small => new()
    {
        Layers = [3, 7],
        SearchLength = 32,
        WindowLength = 512,
        Queries = 64,
        UpdatesPerWindow = 2,
        Steps = 8,
        EvaluateEvery = 4,
        HeldOutWindows = 1,
        TopK = 64,
        Threads = 2,
    };

    [Fact]
    public async Task The_verb_writes_a_model_that_searches_and_says_where_it_comes_from()
    {
        string output = _folder["trained.gguf"];
        string plot = _folder["loss.svg"];
        (int code, string text, string error) = await CommandLine.RunAsync([
            "train", "-m", _base, "-d", _text, "-o", output, "--layers", "3,7", "--d-search", "32", "-c", "512", "--queries", "64",
            "--updates-per-window", "2", "--steps", "8", "--measure-every", "4", "--held-out", "1", "--top-k", "64",
            "--threads", "2", "--plot", plot]);
        Assert.True(code == ExitCode.Ok, error);
        Assert.Contains("8 steps", text, StringComparison.Ordinal);
        Assert.Contains("step    4 of 8", error, StringComparison.Ordinal);
        Assert.Contains("<svg", File.ReadAllText(plot), StringComparison.Ordinal);

        using AnnModel model = AnnModel.Load(output);
        Assert.Equal([3, 7], model.SearchedLayers);
        Assert.Equal((32, 32, 1e6f, 64), (model.Info.SearchLength, model.Info.RotatedLength, model.Info.RotationBase, model.Info.TopK));
        Assert.Equal((32, 4), (model.Info.Window, model.Info.Sinks));
        using AnnContext context = model.CreateContext(new ContextOptions { ContextLength = 512 });
        context.Decode(model.Tokenizer.Tokenize("A trained model answers."));

        (int inspected, string shown, _) = await CommandLine.RunAsync(["inspect", output]);
        Assert.Equal(ExitCode.Ok, inspected);
        Assert.Contains("seed 1", shown, StringComparison.Ordinal);

        (int again, _, string refused) = await CommandLine.RunAsync(["train", "-m", output, "-d", _text, "-o", _folder["x.gguf"]]);
        Assert.Equal(ExitCode.Usage, again);
        Assert.Contains("has search projections already", refused, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_training_resumes_to_the_same_projections()
    {
        using AnnModel model = AnnModel.Load(_base);
        TrainingText text = TrainingText.Read(model, [_text]);
        string whole = _folder["whole.safetensors"];
        TrainingResult result = TrainingRun.Run(model, text, Small, whole);
        Assert.Equal([0, 4, 8], result.History.Select(p => p.Step));
        Assert.True(result.History[^1].MeanMass > result.History[0].MeanMass);

        string resumed = _folder["resumed.safetensors"];
        string checkpoint = _folder["checkpoint.safetensors"];
        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => TrainingRun.Run(
            model, text, Small, resumed, checkpoint, false, new Stop(stop, 6), stop.Token));
        Assert.False(File.Exists(resumed));
        TrainingRun.Run(model, text, Small with { Threads = 1 }, resumed, checkpoint, resume: true);
        ProjectionSet a = ProjectionSet.Load(whole);
        ProjectionSet b = ProjectionSet.Load(resumed);
        foreach (int layer in Small.Layers!)
        {
            Assert.Equal(a.Layers[layer].Query, b.Layers[layer].Query);
            Assert.Equal(a.Layers[layer].Key, b.Layers[layer].Key);
        }

        ArgumentException other = Assert.Throws<ArgumentException>(() => TrainingRun.Run(
            model, text, Small with { Seed = 2 }, resumed, checkpoint, resume: true));
        Assert.Contains("other options", other.Message, StringComparison.Ordinal);
        byte[] bytes = File.ReadAllBytes(checkpoint);
        File.WriteAllBytes(checkpoint, bytes[..(bytes.Length / 2)]);
        Assert.Throws<TensorFileException>(() => TrainingRun.Run(model, text, Small, resumed, checkpoint, resume: true));
    }

    [Fact]
    public async Task A_disk_that_is_full_is_told_and_leaves_the_checkpoint_as_it_was()
    {
        string checkpoint = _folder["checkpoint.safetensors"];
        string output = _folder["trained.gguf"];
        using (AnnModel model = AnnModel.Load(_base))
        {
            using var stop = new CancellationTokenSource();
            Assert.Throws<OperationCanceledException>(() => TrainingRun.Run(
                model, TrainingText.Read(model, [_text]), Small, _folder["p.safetensors"], checkpoint, false, new Stop(stop, 2), stop.Token));
        }

        byte[] before = File.ReadAllBytes(checkpoint);
        string[] arguments = ["train", "-m", _base, "-d", _text, "-o", output, "--layers", "3,7", "--d-search", "32", "-c", "512",
            "--queries", "64", "--updates-per-window", "2", "--steps", "8", "--measure-every", "4", "--held-out", "1", "--top-k", "64",
            "--device", "cpu", "--checkpoint", checkpoint, "--resume"];
        // no file of this process may grow beyond 200 KiB, as on a full disk; the checkpoint has 600
        using var process = new System.Diagnostics.Process();
        process.StartInfo = new System.Diagnostics.ProcessStartInfo("bash")
        {
            RedirectStandardError = true,
            Environment = { ["DOTNET_EnableWriteXorExecute"] = "0", ["ANN"] = Path.Combine(AppContext.BaseDirectory, "ann.dll") },
        };
        foreach (string argument in (string[])["-c", "trap '' XFSZ; ulimit -f 200; exec dotnet \"$ANN\" \"$@\"", "bash", .. arguments])
        {
            process.StartInfo.ArgumentList.Add(argument);
        }

        process.Start();
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == ExitCode.Failed, error);
        Assert.Contains("still holds the one before", error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(checkpoint));
        Assert.False(File.Exists(output));
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(checkpoint)!, "*.partial"));

        (int code, _, string trouble) = await CommandLine.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.True(code == ExitCode.Ok, trouble);
        Assert.True(File.Exists(output));
    }

    [Fact]
    public async Task A_device_that_is_not_there_is_refused_with_those_that_are()
    {
        (int code, _, string error) = await CommandLine.RunAsync(
            ["train", "-m", _base, "-d", _text, "-o", _folder["x.gguf"], "--device", "CUDA99"], TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains("--device is CUDA99; expected one of: cpu", error, StringComparison.Ordinal);

        using AnnModel model = AnnModel.Load(_base, new ModelOptions { GpuLayers = 0 });
        ArgumentException refused = Assert.Throws<ArgumentException>(
            () => new ProjectionTrainer(model, Small with { Device = "nowhere" }));
        Assert.Contains("device is nowhere, expected one of: cpu", refused.Message, StringComparison.Ordinal);
        using var trainer = new ProjectionTrainer(model, Small with { Device = "CPU" });
        Assert.Equal("cpu", trainer.Device);
    }

    [Fact]
    public void A_training_without_a_better_mass_stops_early()
    {
        using AnnModel model = AnnModel.Load(_base);
        TrainingText text = TrainingText.Read(model, [_text]);
        TrainingResult result = TrainingRun.Run(
            model, text, Small with { LearningRate = 0, Patience = 1 }, _folder["p.safetensors"]);
        Assert.True(result.Stopped);
        Assert.Equal([0, 4], result.History.Select(p => p.Step));
    }

    [Fact]
    public void Too_little_text_is_refused_with_numbers()
    {
        using AnnModel model = AnnModel.Load(_base);
        File.WriteAllText(_text, "Only a few words.");
        TrainingText text = TrainingText.Read(model, [_text]);
        ArgumentException refused = Assert.Throws<ArgumentException>(
            () => TrainingRun.Run(model, text, Small, _folder["p.safetensors"]));
        Assert.Contains("at least 1024 are needed", refused.Message, StringComparison.Ordinal);
        File.WriteAllBytes(_text, [0x61, 0xff, 0xfe]);
        Assert.Contains(
            "not UTF-8", Assert.Throws<ArgumentException>(() => TrainingText.Read(model, [_text])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => TrainingText.Read(model, []));
    }

    [Fact]
    public void A_model_of_another_architecture_trains_too()
    {
        using AnnModel model = AnnModel.Load(WriteLlama());
        Assert.False(model.Info.HasSearch);
        using var trainer = new ProjectionTrainer(model, Small with { Layers = null, WindowLength = 256, Queries = 0 });
        Assert.Equal(4, trainer.Layers.Count);
        Assert.Equal(5e5f, trainer.RotationBase);
        int[] tokens = [.. Enumerable.Range(0, 256).Select(i => i * i * 31 % 500)];
        double before = trainer.Evaluate(tokens, 64).Average();
        double first = trainer.Learn(tokens).Average();
        double last = first;
        for (int i = 0; i < 10; i++)
        {
            last = trainer.Learn(tokens).Average();
        }

        Assert.True(last < first, $"{last} is not below {first}");
        double after = trainer.Evaluate(tokens, 64).Average();
        Assert.True(after > before, $"the mass kept went from {before} to {after}");
        Assert.InRange(after, 0.25, 1.0);
    }

    [Fact]
    public void A_checkpoint_of_another_model_is_refused_and_stays()
    {
        TrainingOptions options = Small with { Layers = [1, 3] };
        string checkpoint = _folder["checkpoint.safetensors"];
        using (AnnModel model = AnnModel.Load(_base))
        {
            using var stop = new CancellationTokenSource();
            Assert.Throws<OperationCanceledException>(() => TrainingRun.Run(
                model, TrainingText.Read(model, [_text]), options, _folder["p.safetensors"], checkpoint, false, new Stop(stop, 2), stop.Token));
        }

        byte[] before = File.ReadAllBytes(checkpoint);
        using AnnModel other = AnnModel.Load(WriteLlama());
        TrainingText text = TrainingText.Read(other, [_text]);
        ArgumentException refused = Assert.Throws<ArgumentException>(() => TrainingRun.Run(
            other, text, options, _folder["p.safetensors"], checkpoint, resume: true));
        Assert.Contains("made for another model", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(checkpoint));
    }

    private string WriteLlama()
    {
        string path = _folder["llama.gguf"];
        SyntheticShape tiny = SyntheticShape.Of("tiny");
        ModelFiles.Synth(path, new SyntheticOptions
        {
            Shape = tiny with { Name = "tiny-llama", Architecture = "llama", TiedEmbeddings = false, RopeFrequencyBase = 5e5f },
            Type = TensorType.Q4_0,
            AnnLayers = "none",
        });
        return path;
    }

    private sealed class Stop(CancellationTokenSource source, int step) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step >= step)
            {
                source.Cancel();
            }
        }
    }
}
