using System.Runtime.InteropServices;
using System.Text.Json;
using AnnRuntime.Gguf;

namespace AnnRuntime;

/// <summary>A training on disk: weights and moments in safetensors, the rest in its metadata.</summary>
internal static class TrainingCheckpoint
{
    private const string StateKey = "ann_train.state";

    /// <summary>Writes a checkpoint; one that is there is replaced only when the new one is whole.</summary>
    /// <exception cref="IOException">The disk failed or is full.</exception>
    public static void Write(string path, ProjectionTrainer trainer, TrainingState state)
    {
        long[] shape = [trainer.Options.SearchLength, trainer.EmbeddingLength];
        using OutputFile output = OutputFile.Create(path, overwrite: true);
        SafetensorsWriter.Write(
            output.Stream,
            new Dictionary<string, string> { [StateKey] = JsonSerializer.Serialize(state, TrainingJson.Default.TrainingState) },
            [.. trainer.GetState().Select(t => (t.Name, (IReadOnlyList<long>)shape, TensorType.F32, Bytes(t.Values)))]);
        output.Commit();
    }

    /// <summary>Reads a checkpoint into a trainer of the same options.</summary>
    /// <returns>What it says.</returns>
    /// <exception cref="TensorFileException">It is not a checkpoint, or is damaged.</exception>
    /// <exception cref="ArgumentException">It was made with other options, another text or another model.</exception>
    public static TrainingState Read(string path, ProjectionTrainer trainer, string textHash)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(StateKey, out string? json))
        {
            throw new TensorFileException(path, -1, $"this is no checkpoint of a training: metadata {StateKey} is missing");
        }

        TrainingState state = Parse(json, path);
        string mine = Describe(trainer.Options);
        string theirs = Describe(state.Options);
        if (mine != theirs)
        {
            throw new ArgumentException($"{path} was made with other options: {theirs}; now they are {mine}.");
        }

        if (state.TextHash != textHash)
        {
            throw new ArgumentException($"{path} was made with another text: SHA-256 {state.TextHash}, now {textHash}.");
        }

        long expected = (long)trainer.Options.SearchLength * trainer.EmbeddingLength;
        trainer.SetState(state.Step, name =>
        {
            float[] values = file.Tensors.TryGetValue(name, out SafetensorsTensor? tensor)
                ? file.ReadTensor(tensor)
                : throw new TensorFileException(path, -1, $"tensor {name} is missing");
            return values.LongLength == expected
                ? values
                : throw new ArgumentException(
                    $"{path} was made for another model: tensor {name} has {values.LongLength} values, expected "
                        + $"{trainer.Options.SearchLength} x {trainer.EmbeddingLength}.");
        });
        return state;
    }

    private static TrainingState Parse(string json, string path)
    {
        try
        {
            return JsonSerializer.Deserialize(json, TrainingJson.Default.TrainingState)
                ?? throw new TensorFileException(path, -1, $"metadata {StateKey} is null");
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException)
        {
            throw new TensorFileException(path, -1, $"metadata {StateKey} is damaged: {exception.Message}");
        }
    }

    // threads do not change the result, a device changes its last digits; how long to go on may change
    private static string Describe(TrainingOptions options) => JsonSerializer.Serialize(
        new TrainingState(0, options with { Threads = null, Device = null, Patience = 0 }, "", []), TrainingJson.Default.TrainingState);

    private static ReadOnlyMemory<byte> Bytes(float[] values) => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
}
