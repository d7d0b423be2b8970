using System.IO.Compression;
using System.Text;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Writes pickles and checkpoints as PyTorch does, opcode by opcode.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream _bytes = new();

    public PickleWriter() => Op(0x80, 2);

    public byte[] Bytes => [.. _bytes.ToArray(), (byte)'.'];

    /// <summary>A checkpoint: {search_module: {name: tensor, ...}, config: {d_search: 32}}.</summary>
    public static void WriteCheckpoint(
        string path, params (string Name, int Rows, int Columns, float[] Storage)[] tensors)
    {
        PickleWriter pickle = new();
        pickle.Op('}').Op('(').Text("search_module").Op('}').Op('(');
        for (int i = 0; i < tensors.Length; i++)
        {
            pickle.Text(tensors[i].Name).Tensor(
                $"{i}", tensors[i].Storage.Length, 0, [tensors[i].Rows, tensors[i].Columns], [tensors[i].Columns, 1]);
        }

        pickle.Op('u').Text("config").Op('}').Op('(').Text("d_search").Integer(32)
            .Text("lr").Op(']').Op('(').Real(0.001).Real(0.5).Op('e').Text("window").Integer(4).Op('u').Op('u');
        WriteArchive(path, pickle.Bytes, [.. tensors.Select(t => t.Storage)]);
    }

    /// <summary>An archive with a pickle and storages of f32.</summary>
    public static void WriteArchive(string path, byte[] pickle, params float[][] storages)
    {
        using ZipArchive archive = new(File.Create(path), ZipArchiveMode.Create);
        Add("data.pkl", pickle);
        for (int i = 0; i < storages.Length; i++)
        {
            Add($"data/{i}", [.. storages[i].SelectMany(BitConverter.GetBytes)]);
        }

        void Add(string name, byte[] content)
        {
            using Stream entry = archive.CreateEntry($"archive/{name}", CompressionLevel.NoCompression).Open();
            entry.Write(content);
        }
    }

    public PickleWriter Op(params ReadOnlySpan<int> bytes)
    {
        foreach (int b in bytes)
        {
            _bytes.WriteByte((byte)b);
        }

        return this;
    }

    public PickleWriter Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Op('X');
        _bytes.Write(BitConverter.GetBytes(utf8.Length));
        _bytes.Write(utf8);
        return this;
    }

    public PickleWriter Integer(int value)
    {
        Op('J');
        _bytes.Write(BitConverter.GetBytes(value));
        return this;
    }

    public PickleWriter Real(double value)
    {
        Op('G');
        _bytes.Write([.. BitConverter.GetBytes(value).Reverse()]);
        return this;
    }

    public PickleWriter Global(string module, string name)
    {
        Op('c');
        _bytes.Write(Encoding.ASCII.GetBytes($"{module}\n{name}\n"));
        return this;
    }

    public PickleWriter Tensor(
        string key, int elements, int offset, int[] shape, int[] strides, string type = "FloatStorage")
    {
        Global("torch._utils", "_rebuild_tensor_v2").Op('(', '(')
            .Text("storage").Global("torch", type).Text(key).Text("cpu")
            .Integer(elements).Op('t').Op('Q').Integer(offset);
        Op('(');
        foreach (int extent in shape)
        {
            Integer(extent);
        }

        Op('t', '(');
        foreach (int stride in strides)
        {
            Integer(stride);
        }

        return Op('t', 0x89).Global("collections", "OrderedDict").Op(')', 'R', 't', 'R');
    }
}
