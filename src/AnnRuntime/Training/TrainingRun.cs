using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using AnnRuntime.Gguf;

namespace AnnRuntime;

/// <summary>Trains search projections for a model from text: windows, held-out measurements, checkpoints.</summary>
public static class TrainingRun
{
    private const int EvaluationStride = 8;

    /// <summary>Runs a training to its end.</summary>
    /// <param name="model">The frozen model.</param>
    /// <param name="text">What to train on; its last windows are held out.</param>
    /// <param name="options">How.</param>
    /// <param name="projectionsPath">Safetensors file to write, which merging takes; an existing one is replaced.</param>
    /// <param name="checkpointPath">Checkpoint, written at every measurement and when cancelled; null: none.</param>
    /// <param name="resume">Go on from <paramref name="checkpointPath"/>.</param>
    /// <param name="progress">Told after every window and measurement, on the calling thread.</param>
    /// <param name="cancellationToken">Ends it; what was learned is in the checkpoint.</param>
    /// <exception cref="ArgumentException">An option is out of range, or the text is too short.</exception>
    /// <exception cref="TensorFileException">The checkpoint is damaged.</exception>
    /// <exception cref="IOException">A file cannot be written; a checkpoint that is there stays as it was.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static TrainingResult Run(
        AnnModel model,
        TrainingText text,
        TrainingOptions options,
        string projectionsPath,
        string? checkpointPath = null,
        bool resume = false,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(options);
        int trainable = Trainable(text, options);
        using var trainer = new ProjectionTrainer(model, options);
        var history = new List<TrainingPoint>();
        if (resume)
        {
            string path = checkpointPath ?? throw new ArgumentException("To resume, a checkpoint must be named.");
            history.AddRange(TrainingCheckpoint.Read(path, trainer, text.Hash).History);
        }

        var loop = new Loop(trainer, text, trainable, history, progress, cancellationToken);
        bool stopped;
        try
        {
            stopped = loop.Run(() => Save(checkpointPath, trainer, text, history));
        }
        catch (OperationCanceledException)
        {
            Save(checkpointPath, trainer, text, history);
            throw;
        }

        AnnSettings settings = Describe(model, trainer, text, history);
        WriteProjections(projectionsPath, trainer, settings);
        return new TrainingResult(history, settings, stopped);
    }

    private static int Trainable(TrainingText text, TrainingOptions options)
    {
        long held = (long)options.HeldOutWindows * options.WindowLength;
        if (options.HeldOutWindows < 1 || options.EvaluateEvery < 1 || options.Steps < 1 || options.UpdatesPerWindow < 1)
        {
            throw new ArgumentException(
                $"held-out windows, steps, steps between measurements and updates per window are {options.HeldOutWindows}, "
                    + $"{options.Steps}, {options.EvaluateEvery}, {options.UpdatesPerWindow}; each must be at least 1.");
        }

        if (text.Tokens.Length < held + options.WindowLength)
        {
            throw new ArgumentException(
                $"The text has {text.Tokens.Length} tokens; at least {held + options.WindowLength} are needed: "
                    + $"{options.HeldOutWindows} held-out windows of {options.WindowLength} and one to train on.");
        }

        return text.Tokens.Length - (int)held;
    }

    private static void Save(string? path, ProjectionTrainer trainer, TrainingText text, List<TrainingPoint> history)
    {
        if (path is null)
        {
            return;
        }

        try
        {
            TrainingCheckpoint.Write(path, trainer, new TrainingState(trainer.Step, trainer.Options, text.Hash, history));
        }
        catch (Exception exception) when (exception is IOException or ArgumentOutOfRangeException) // the latter: a quota
        {
            string before = File.Exists(path) ? "; it still holds the one before, from which a resumed training goes on" : "";
            throw new IOException(
                $"The checkpoint {path} could not be written at step {trainer.Step}{before}. The cause: {exception.Message}",
                exception);
        }
    }

    private static AnnSettings Describe(
        AnnModel model, ProjectionTrainer trainer, TrainingText text, List<TrainingPoint> history)
    {
        TrainingOptions o = trainer.Options;
        TrainingPoint last = history[^1];
        string version = typeof(TrainingRun).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion.Split('+')[0] ?? "";
        var record = new TrainingRecord(
            $"ann train {version}".TrimEnd(), Path.GetFileName(model.Path), o.TopK, "cosine",
            trainer.RotatedLength > 0 ? new RotationRecord(trainer.RotatedLength, trainer.RotationBase) : null,
            o.Window, o.Sinks, o.Objective == TrainingObjective.Direction ? "direction" : "published", trainer.Step,
            o.WindowLength, o.UpdatesPerWindow, o.Queries, o.LearningRate, o.Seed, text.Files, text.Hash, text.Tokens.Length,
            Math.Round(last.MeanMass, 4), [.. last.Mass.Select(m => Math.Round(m, 4))], Math.Round(last.Seconds, 1), trainer.Device);
        return AnnSettings.FromConfig(JsonSerializer.Serialize(record, TrainingJson.Default.TrainingRecord)) with
        {
            Checkpoint = $"{Path.GetFileNameWithoutExtension(model.Path)}, {trainer.Step} steps, seed {o.Seed}",
        };
    }

    private static void WriteProjections(string path, ProjectionTrainer trainer, AnnSettings settings)
    {
        var tensors = new List<(string, IReadOnlyList<long>, TensorType, ReadOnlyMemory<byte>)>();
        long[] shape = [trainer.Options.SearchLength, trainer.EmbeddingLength];
        for (int i = 0; i < trainer.Layers.Count; i++)
        {
            (float[] query, float[] key) = trainer.GetWeights(i);
            tensors.Add((ProjectionSet.QueryName(trainer.Layers[i]), shape, TensorType.F32, MemoryMarshal.AsBytes(query.AsSpan()).ToArray()));
            tensors.Add((ProjectionSet.KeyName(trainer.Layers[i]), shape, TensorType.F32, MemoryMarshal.AsBytes(key.AsSpan()).ToArray()));
        }

        using OutputFile output = OutputFile.Create(path, overwrite: true);
        SafetensorsWriter.Write(output.Stream, settings.ToSafetensors(), tensors);
        output.Commit();
    }

    /// <summary>The windows of one training.</summary>
    private sealed class Loop(
        ProjectionTrainer trainer, TrainingText text, int trainable, List<TrainingPoint> history,
        IProgress<TrainingProgress>? progress, CancellationToken cancellationToken)
    {
        private readonly TrainingOptions _options = trainer.Options;
        private readonly double _secondsBefore = history.Count > 0 ? history[^1].Seconds : 0;
        private readonly Stopwatch _learning = new();
        private double _lossSum;
        private int _windows;
        private int _windowsSinceStart;

        /// <summary>Runs until the last step; true when it stopped early.</summary>
        public bool Run(Action save)
        {
            if (history.Count == 0)
            {
                Measure();
                save();
            }

            while (trainer.Step < _options.Steps)
            {
                double loss = LearnWindow();
                int before = trainer.Step - _options.UpdatesPerWindow;
                bool measured = trainer.Step >= _options.Steps
                    || trainer.Step / _options.EvaluateEvery > before / _options.EvaluateEvery;
                if (measured)
                {
                    Measure();
                    save();
                }

                progress?.Report(new TrainingProgress(
                    trainer.Step, _options.Steps, loss, Remaining(), measured ? history[^1] : null));
                if (measured && IsStale())
                {
                    return true;
                }
            }

            return false;
        }

        private double LearnWindow()
        {
            // the window of a step depends on nothing before it: a resumed training draws the same
            var random = new StableRandom(((ulong)(uint)_options.Seed << 32) ^ (uint)trainer.Step);
            int start = random.Next(trainable - _options.WindowLength + 1);
            _learning.Start();
            double loss = trainer.Learn(
                text.Tokens.Slice(start, _options.WindowLength), default, cancellationToken).Average();
            _learning.Stop();
            _lossSum += loss;
            _windows++;
            _windowsSinceStart++;
            return loss;
        }

        private void Measure()
        {
            double[] mass = new double[trainer.Layers.Count];
            for (int w = 0; w < _options.HeldOutWindows; w++)
            {
                ReadOnlySpan<int> window = text.Tokens.Slice(trainable + w * _options.WindowLength, _options.WindowLength);
                double[] part = trainer.Evaluate(window, _options.TopK, EvaluationStride, cancellationToken);
                for (int i = 0; i < mass.Length; i++)
                {
                    mass[i] += part[i] / _options.HeldOutWindows;
                }
            }

            history.Add(new TrainingPoint(
                trainer.Step, _windows == 0 ? double.NaN : _lossSum / _windows, mass,
                _secondsBefore + _learning.Elapsed.TotalSeconds));
            (_lossSum, _windows) = (0, 0);
            if (history.Count == 1)
            {
                progress?.Report(new TrainingProgress(trainer.Step, _options.Steps, double.NaN, null, history[0]));
            }
        }

        private TimeSpan Remaining()
        {
            double windows = Math.Max(0, Math.Ceiling((_options.Steps - trainer.Step) / (double)_options.UpdatesPerWindow));
            return windows / _windowsSinceStart * _learning.Elapsed;
        }

        private bool IsStale()
        {
            if (_options.Patience == 0 || history.Count <= _options.Patience)
            {
                return false;
            }

            double best = history.Take(history.Count - _options.Patience).Max(p => p.MeanMass);
            return history.TakeLast(_options.Patience).All(p => p.MeanMass <= best);
        }
    }
}
