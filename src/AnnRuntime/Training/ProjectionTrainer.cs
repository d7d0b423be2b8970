using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Search projections of some layers in training. Belongs to one thread at a time.</summary>
/// <remarks>
/// The model is frozen; each window of text is computed once, with full attention, and every layer learns from it. The
/// same options, text and seed give the same weights on CPUs, on any number of threads.
/// </remarks>
public sealed class ProjectionTrainer : IDisposable
{
    private const int TensorKinds = 6; // weights, first and second moments, each of query and key

    private readonly TrainHandle _handle;
    private readonly AnnTrainParams _resolved;
    private readonly int[] _layers;

    /// <summary>Begins a training with random weights.</summary>
    /// <param name="model">The model; it need not have projections.</param>
    /// <param name="options">Default: all layers, 64 dims.</param>
    /// <exception cref="ArgumentException">An option is out of range; the message names it.</exception>
    /// <exception cref="UnsupportedModelException">
    /// The model cannot be computed with flash attention, or the device lacks an operation; the message names it.
    /// </exception>
    /// <exception cref="NotEnoughMemoryException">The window does not fit.</exception>
    public ProjectionTrainer(AnnModel model, TrainingOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Options = options ?? new TrainingOptions();
        _handle = TrainHandle.Create(model.Handle, Options.ToNative(), Options.Layers?.ToArray(), Options.Device);
        _resolved = _handle.GetParams(out _layers, out string device);
        Device = device;
        EmbeddingLength = model.Info.EmbeddingLength;
    }

    /// <summary>The options.</summary>
    public TrainingOptions Options { get; }

    /// <summary>Where losses and gradients are computed: cpu, or a device's name.</summary>
    public string Device { get; }

    /// <summary>Trained layers, ascending.</summary>
    public IReadOnlyList<int> Layers => _layers;

    /// <summary>Updates made.</summary>
    public int Step { get; private set; }

    /// <summary>Learning rate of the last update; 0 before the first.</summary>
    public double LearningRate { get; private set; }

    /// <summary>Dims of the hidden state that is projected.</summary>
    public int EmbeddingLength { get; }

    /// <summary>Dims that are rotated, as resolved.</summary>
    public int RotatedLength => _resolved.NRot;

    /// <summary>Base of the rotation, as resolved.</summary>
    public float RotationBase => _resolved.RopeFreqBase;

    /// <summary>Learns from a window of text: <see cref="TrainingOptions.UpdatesPerWindow"/> updates.</summary>
    /// <param name="tokens">Its tokens, at most <see cref="TrainingOptions.WindowLength"/>.</param>
    /// <param name="marked">Rows that are learned from for certain; the others are drawn.</param>
    /// <param name="cancellationToken">Ends it; nothing was learned then.</param>
    /// <returns>The loss of each layer.</returns>
    /// <exception cref="ArgumentException">The window is too short or too long, or holds an unknown token.</exception>
    /// <exception cref="UnsupportedModelException">The model's attention cannot be captured.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public double[] Learn(
        ReadOnlySpan<int> tokens, ReadOnlySpan<int> marked = default, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        double[] loss = new double[_layers.Length];
        AnnTrainReport report = _handle.Window(tokens, marked, loss, cancellationToken);
        Step = (int)report.Step;
        LearningRate = report.LearningRate;
        return loss;
    }

    /// <summary>Attention mass that a search keeps on a window, per layer: mean over every n-th query and over heads.</summary>
    /// <param name="tokens">A window that is not learned from.</param>
    /// <param name="topK">Cells attended in all.</param>
    /// <param name="every">Every n-th query is measured. Default 8.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ArgumentException">The window is too short or too long, or K is below sinks and window.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public double[] Evaluate(
        ReadOnlySpan<int> tokens, int topK, int every = 8, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        double[] mass = new double[_layers.Length];
        _handle.Evaluate(tokens, topK, every, mass, cancellationToken);
        return mass;
    }

    /// <summary>Weights of a trained layer, [SearchLength, EmbeddingLength] row after row.</summary>
    /// <param name="index">Index into <see cref="Layers"/>.</param>
    public (float[] Query, float[] Key) GetWeights(int index) => (GetTensor(index, 0), GetTensor(index, 1));

    /// <summary>Ends the training and gives its memory up.</summary>
    public void Dispose() => _handle.Dispose();

    /// <summary>All that a resumed training needs, by name.</summary>
    internal IEnumerable<(string Name, float[] Values)> GetState()
    {
        for (int index = 0; index < _layers.Length; index++)
        {
            for (int kind = 0; kind < TensorKinds; kind++)
            {
                yield return (StateName(index, kind), GetTensor(index, kind));
            }
        }
    }

    /// <summary>Goes on where another training of the same options was.</summary>
    internal void SetState(int step, Func<string, float[]> read)
    {
        for (int index = 0; index < _layers.Length; index++)
        {
            for (int kind = 0; kind < TensorKinds; kind++)
            {
                _handle.SetTensor(index, kind, read(StateName(index, kind)));
            }
        }

        _handle.SetStep(step);
        Step = step;
    }

    private string StateName(int index, int kind) =>
        $"layer.{_layers[index]}.{(kind % 2 == 0 ? "query" : "key")}.{(kind / 2) switch { 0 => "weight", 1 => "moment_1", _ => "moment_2" }}";

    private float[] GetTensor(int index, int kind)
    {
        float[] values = new float[Options.SearchLength * EmbeddingLength];
        _handle.GetTensor(index, kind, values);
        return values;
    }
}
