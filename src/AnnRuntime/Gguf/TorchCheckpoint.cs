using System.IO.Compression;

namespace AnnRuntime.Gguf;

/// <summary>A PyTorch checkpoint (.pt): a zip archive with a data pickle and one entry per tensor storage.</summary>
/// <remarks>No code of the checkpoint is executed, see <see cref="PickleInterpreter"/>.</remarks>
internal sealed class TorchCheckpoint : IDisposable
{
    private const int MaximumPickleBytes = 16 << 20;

    private readonly ZipArchive _archive;
    private readonly string _path;
    private readonly string _prefix;

    private TorchCheckpoint(string path, ZipArchive archive)
    {
        _path = path;
        _archive = archive;
        ZipArchiveEntry pickle = Guard(() => archive.Entries.FirstOrDefault(e => e.Name == "data.pkl"))
            ?? throw Fail("the archive holds no data.pkl, so it is not a PyTorch checkpoint");
        _prefix = pickle.FullName[..^"data.pkl".Length];
        if (archive.GetEntry(_prefix + "byteorder") is { } order && ReadEntry(order, 16) is not [(byte)'l', ..])
        {
            throw Fail("the checkpoint is big endian; expected little endian");
        }

        Root = new PickleInterpreter(
            $"{path}, {pickle.FullName}", ReadEntry(pickle, MaximumPickleBytes)).Run() as PickleDictionary
            ?? throw Fail("the checkpoint is not a dictionary");
    }

    /// <summary>What was saved.</summary>
    public PickleDictionary Root { get; }

    /// <summary>Opens a checkpoint and reads its pickle.</summary>
    /// <exception cref="TensorFileException">Not a checkpoint, or one with more than tensors in it.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static TorchCheckpoint Open(string path)
    {
        FileStream file = ByteSource.OpenFile(path, () => File.OpenRead(path));
        ZipArchive? archive = null;
        try
        {
            archive = Guard(path, () => new ZipArchive(file, ZipArchiveMode.Read));
            return new TorchCheckpoint(path, archive);
        }
        catch
        {
            archive?.Dispose();
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads a tensor, row by row.</summary>
    /// <exception cref="TensorFileException">
    /// Its storage is missing or of another size, or the view leaves it.
    /// </exception>
    public float[] ReadMatrix(string name, TorchTensor tensor)
    {
        if (tensor.Shape is not [long rows, long columns] || !tensor.LiesInStorage())
        {
            throw Fail(
                $"tensor {name} of shape [{string.Join(", ", tensor.Shape)}] is not a matrix inside its storage");
        }

        float[] storage = ReadStorage(name, tensor.Storage);
        if (rows > 0 && columns > storage.Length / rows)
        {
            throw Fail(
                $"tensor {name} of shape [{rows}, {columns}] repeats elements of its storage of {storage.Length}");
        }

        float[] matrix = new float[rows * columns];
        for (long i = 0; i < matrix.Length; i++)
        {
            (long row, long column) = Math.DivRem(i, columns);
            matrix[i] = storage[tensor.Offset + (row * tensor.Strides[0]) + (column * tensor.Strides[1])];
        }

        return matrix;
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _archive.Dispose();

    private float[] ReadStorage(string name, TorchStorage storage)
    {
        string entryName = $"{_prefix}data/{storage.Key}";
        ZipArchiveEntry entry = Guard(() => _archive.GetEntry(entryName))
            ?? throw Fail($"tensor {name} needs the entry {entryName}, which is missing");
        int size = TensorTypes.BlockBytes(storage.Type);
        if (storage.ElementCount > Array.MaxLength / size || entry.Length != storage.ElementCount * size)
        {
            throw Fail(
                $"the entry {entryName} of tensor {name} is {entry.Length} bytes long; expected "
                    + $"{storage.ElementCount} elements of {size} bytes");
        }

        float[] numbers = new float[storage.ElementCount];
        TensorConverter.ToSingle(storage.Type, ReadEntry(entry, entry.Length), numbers);
        return numbers;
    }

    // grows with what is really there, so that a wrong length in the archive allocates nothing
    private byte[] ReadEntry(ZipArchiveEntry entry, long maximumBytes) => Guard(() =>
    {
        using Stream stream = entry.Open();
        using MemoryStream bytes = new();
        byte[] buffer = new byte[1 << 16];
        for (int n; (n = stream.Read(buffer)) > 0;)
        {
            bytes.Write(buffer, 0, n);
            if (bytes.Length > maximumBytes)
            {
                throw Fail($"the entry {entry.FullName} is longer than {maximumBytes} bytes");
            }
        }

        return bytes.Length == entry.Length
            ? bytes.ToArray()
            : throw Fail($"the entry {entry.FullName} is {bytes.Length} bytes long; expected {entry.Length}");
    });

    private T Guard<T>(Func<T> read) => Guard(_path, read);

    private static T Guard<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is InvalidDataException or NotSupportedException or ArgumentException
            or OverflowException or EndOfStreamException)
        {
            throw new TensorFileException(path, -1, $"the zip archive cannot be read: {e.Message.TrimEnd('.')}", e);
        }
    }

    private TensorFileException Fail(string problem) => new(_path, -1, problem);
}
