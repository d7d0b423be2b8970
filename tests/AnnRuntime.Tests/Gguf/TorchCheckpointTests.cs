using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Checkpoints are pickles, and a pickle is a program: this one is never run.</summary>
public sealed class TorchCheckpointTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_published_layout_is_read()
    {
        float[] query = [.. Enumerable.Range(0, 64).Select(i => (float)i)];
        float[] key = [.. query.Select(x => -x)];
        PickleWriter.WriteCheckpoint(
            _folder["p.pt"], ("projections.3.W_Qs.weight", 32, 2, query), ("projections.3.W_Ks.weight", 32, 2, key));

        ProjectionSet set = ProjectionSet.Load(_folder["p.pt"]);

        Assert.Equal((32, 2), (set.SearchLength, set.EmbeddingLength));
        Assert.Equal(query, set.Layers[3].Query);
        Assert.Equal(key, set.Layers[3].Key);
        Assert.Equal("""{"d_search":32,"lr":[0.001,0.5],"window":4}""", set.Settings.Config);
        Assert.Equal(4, set.Settings.Window);
        Assert.Equal("p.pt", set.Settings.Checkpoint);
    }

    [Fact]
    public void Views_with_other_strides_are_read_element_by_element()
    {
        PickleWriter pickle = new();
        pickle.Op('}').Op('(')
            .Text("projections.0.W_Qs.weight").Tensor("0", 7, 1, [2, 3], [1, 2])
            .Text("projections.0.W_Ks.weight").Tensor("0", 7, 0, [2, 3], [3, 1]).Op('u');
        PickleWriter.WriteArchive(_folder["p.pt"], pickle.Bytes, [0, 1, 2, 3, 4, 5, 6]);

        (float[] query, float[] key) = ProjectionSet.Load(_folder["p.pt"]).Layers[0];

        Assert.Equal([1, 3, 5, 2, 4, 6], query);
        Assert.Equal([0, 1, 2, 3, 4, 5], key);
    }

    [Theory]
    [InlineData("os", "system")]
    [InlineData("builtins", "eval")]
    [InlineData("torch", "load")]
    [InlineData("torch._utils", "_rebuild_sparse_tensor")]
    [InlineData("posix", "system\u0007")]
    public void Any_other_name_is_refused_by_name(string module, string name)
    {
        PickleWriter pickle = new();
        pickle.Global(module, name).Op('(').Text("touch pwned").Op('t', 'R');

        string message = Refusal(pickle.Bytes);

        Assert.Contains(
            $"the pickle names {module}.{name.Replace('\a', '?')}, which tensors do not need; refused", message);
    }

    [Theory]
    [InlineData('i', "opcode 0x69")] // INST
    [InlineData('o', "opcode 0x6f")] // OBJ
    [InlineData(0x81, "opcode 0x81")] // NEWOBJ
    [InlineData(0x82, "opcode 0x82")] // EXT1
    [InlineData('P', "opcode 0x50")] // PERSID
    [InlineData('I', "opcode 0x49")] // INT, text
    public void Any_other_opcode_is_refused_by_number(int opcode, string expected) =>
        Assert.Contains(expected, Refusal(new PickleWriter().Op(opcode).Bytes));

    [Fact]
    public void Odd_programs_are_refused()
    {
        Assert.Contains("the stack is empty", Refusal(new PickleWriter().Op('R').Bytes));
        Assert.Contains("a mark is missing", Refusal(new PickleWriter().Op('t').Bytes));
        Assert.Contains("memo entry 5 does not exist", Refusal(new PickleWriter().Op('h', 5).Bytes));
        Assert.Contains("is not a dictionary", Refusal(new PickleWriter().Op('N').Bytes));
        Assert.Contains("a call of something that is not a name", Refusal(new PickleWriter().Op('N', ')', 'R').Bytes));
        Assert.Contains(
            "bytes are needed, but the pickle ends", Refusal(new PickleWriter().Op('X', 255, 255, 255, 255).Bytes));
        Assert.Contains("no search projections", Refusal(new PickleWriter().Op('}').Bytes));
        Assert.Contains(
            "is not a matrix inside its storage",
            Refusal(new PickleWriter().Op('}', '(').Text("projections.0.W_Qs.weight").Tensor("0", 4, 1, [2, 2], [2, 1])
                .Text("projections.0.W_Ks.weight").Tensor("0", 4, 0, [2, 2], [2, 1]).Op('u').Bytes, [1, 2, 3, 4]));
        Assert.Contains(
            "which is missing",
            Refusal(new PickleWriter().Op('}', '(').Text("projections.0.W_Qs.weight").Tensor("9", 4, 0, [2, 2], [2, 1])
                .Text("projections.0.W_Ks.weight").Tensor("0", 4, 0, [2, 2], [2, 1]).Op('u').Bytes, [1, 2, 3, 4]));
        Assert.Contains(
            "expected 400 elements of 4 bytes",
            Refusal(new PickleWriter().Op('}', '(').Text("projections.0.W_Qs.weight").Tensor(
                "0", 400, 0, [2, 2], [2, 1])
                .Text("projections.0.W_Ks.weight").Tensor("0", 400, 0, [2, 2], [2, 1]).Op('u').Bytes, [1, 2, 3, 4]));
    }

    [Fact]
    public void A_configuration_that_contains_itself_is_dropped()
    {
        // x = []; x.append(x); config = {"x": x}
        PickleWriter pickle = new();
        pickle.Op('}', '(').Text("projections.0.W_Qs.weight").Tensor("0", 4, 0, [2, 2], [2, 1])
            .Text("projections.0.W_Ks.weight").Tensor("0", 4, 0, [2, 2], [2, 1])
            .Text("config").Op('}', '(').Text("x").Op(']', 'q', 1, 'h', 1, 'a').Op('u', 'u');
        PickleWriter.WriteArchive(_folder["p.pt"], pickle.Bytes, [1, 2, 3, 4]);

        Assert.Null(ProjectionSet.Load(_folder["p.pt"]).Settings.Config);
    }

    [Fact]
    public void A_checkpoint_cut_or_changed_anywhere_is_read_or_refused()
    {
        PickleWriter.WriteCheckpoint(
            _folder["p.pt"],
            ("projections.0.W_Qs.weight", 4, 2, new float[8]),
            ("projections.0.W_Ks.weight", 4, 2, new float[8]));
        byte[] sample = File.ReadAllBytes(_folder["p.pt"]);
        Random random = new(6);
        for (int i = 0; i < 600; i++)
        {
            byte[] bytes = i % 2 == 0 ? sample[..random.Next(sample.Length)] : [.. sample];
            if (i % 2 != 0)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            File.WriteAllBytes(_folder["q.pt"], bytes);
            try
            {
                _ = ProjectionSet.Load(_folder["q.pt"]);
            }
            catch (TensorFileException)
            {
                continue;
            }
        }
    }

    private string Refusal(byte[] pickle, params float[][] storages)
    {
        PickleWriter.WriteArchive(_folder["r.pt"], pickle, storages);
        TensorFileException e = Assert.Throws<TensorFileException>(() => ProjectionSet.Load(_folder["r.pt"]));
        Assert.StartsWith(_folder["r.pt"], e.Message);
        return e.Message;
    }
}
