using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

public sealed class GgufRoundTripTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(32)]
    [InlineData(4096)]
    public void Every_value_type_and_tensor_type_is_read_back(int alignment)
    {
        GgufMetadata metadata = GgufSamples.EveryType(alignment);
        GgufTensorSource[] tensors = GgufSamples.Tensors();
        using GgufFile file = GgufFile.FromMemory(GgufSamples.Bytes(metadata, tensors));

        Assert.Equal(metadata.ToArray(), file.Metadata.ToArray());
        Assert.Equal(alignment, file.Alignment);
        Assert.Equal(tensors.Select(t => t.Name), file.Tensors.Select(t => t.Name));
        foreach (GgufTensorSource source in tensors)
        {
            GgufTensor tensor = Assert.IsType<GgufTensor>(file.Find(source.Name));
            Assert.Equal(source.Dimensions, tensor.Dimensions);
            Assert.Equal(source.Type, tensor.Type);
            Assert.Equal(source.ByteCount, tensor.ByteCount);
            Assert.Equal(0, (tensor.Offset - file.DataOffset) % alignment);
            byte[] content = new byte[tensor.ByteCount];
            file.ReadTensor(tensor, 0, content);
            Assert.Equal(GgufSamples.Content(source.Name, source.ByteCount), content);
        }
    }

    [Fact]
    public void A_file_written_again_has_the_same_bytes()
    {
        byte[] first = GgufSamples.Bytes(GgufSamples.EveryType(), GgufSamples.Tensors());
        using GgufFile file = GgufFile.FromMemory(first);

        byte[] second = GgufSamples.Bytes(file.Metadata, [.. file.Tensors.Select(t => GgufTensorSource.Copy(file, t))]);

        Assert.Equal(first, second);
    }

    [Fact]
    public void Values_are_read_as_what_they_are()
    {
        GgufMetadata metadata = GgufSamples.EveryType();

        Assert.Equal(255, metadata.GetInteger("a.u8"));
        Assert.Equal(long.MinValue, metadata.GetInteger("a.i64"));
        Assert.Equal(1.5, metadata.GetFloat("a.f32"));
        Assert.Equal("Grüße, 世界 \0 end", metadata.GetString("a.string"));
        Assert.Equal([2L, 4L, 6L], metadata.GetIntegers("b.i32")!);
        Assert.True(metadata["b.strings"].TryGetStrings(out string[] texts));
        Assert.Equal(["", "Ġa", "\n"], texts);
        Assert.True(metadata["a.bool"].TryGetBoolean(out bool truth) && truth);
        Assert.Null(metadata.GetInteger("absent"));
        Assert.Equal(2, metadata["b.nested"].Count);
    }

    [Fact]
    public void A_value_of_another_type_is_told_by_key_found_and_expected()
    {
        GgufMetadata metadata = new("model.gguf")
        {
            ["n"] = GgufValue.From("seven"),
            ["big"] = GgufValue.From(ulong.MaxValue),
            ["k"] = GgufValue.From(7u),
        };

        Assert.Equal(
            "model.gguf: key n is String seven; expected an integer.", Message(() => metadata.GetInteger("n")));
        Assert.Equal(
            "model.gguf: key big is UInt64 18446744073709551615; expected an integer.",
            Message(() => metadata.GetInteger("big")));
        Assert.Equal("model.gguf: key k is 7; expected 1..5.", Message(() => metadata.RequireInt32("k", 1, 5)));
        Assert.Equal("model.gguf: key x is missing; expected a string.", Message(() => metadata.RequireString("x")));
        Assert.Equal("model.gguf: key k is UInt32 7; expected a string.", Message(() => metadata.GetString("k")));

        static string Message(Func<object?> read) => Assert.Throws<TensorFileException>(read).Message;
    }

    [Fact]
    public void The_writer_refuses_what_a_reader_would_refuse()
    {
        GgufTensorSource tensor = GgufTensorSource.FromMemory("t", [32], TensorType.F32, new byte[128]);

        Assert.Contains("stands in the list twice", Refusal(new(), tensor, tensor));
        Assert.Contains("64 bytes long; expected 1 to 63", Refusal(new(), tensor with { Name = new string('n', 64) }));
        Assert.Contains(
            "whole blocks of 32", Refusal(new(), tensor with { Dimensions = [33], Type = TensorType.Q8_0 }));
        Assert.Contains("at most 4", Refusal(new(), tensor with { Dimensions = [1, 1, 1, 1, 32] }));
        Assert.Contains("power of two", Refusal(new() { ["general.alignment"] = GgufValue.From(24u) }, tensor));

        static string Refusal(GgufMetadata metadata, params GgufTensorSource[] tensors) =>
            Assert.ThrowsAny<ArgumentException>(() => GgufSamples.Bytes(metadata, tensors)).Message;
    }

    [Theory]
    [InlineData(127, "its source wrote 127")]
    [InlineData(129, "wrote past the tensor's end")]
    public void A_source_that_writes_another_size_is_refused(int bytes, string expected)
    {
        GgufTensorSource tensor = new("t", [32], TensorType.F32, s => s.Write(new byte[bytes]));

        InvalidOperationException e = Assert.Throws<InvalidOperationException>(() => GgufSamples.Bytes(new(), tensor));

        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public void Reading_outside_a_tensor_is_refused()
    {
        using GgufFile file = GgufFile.FromMemory(GgufSamples.Bytes(new(), GgufSamples.Tensors()));
        GgufTensor tensor = file.Find("f32")!;

        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadTensor(tensor, 1, new byte[24]));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadTensor(tensor, -1, new byte[1]));
        Assert.Throws<TensorFileException>(() => file.ReadTensor(file.Find("q6_K")!));
    }

    [Fact]
    public void The_embedded_model_is_read()
    {
        using GgufFile file = GgufFile.Open(RepositoryFiles.EmbeddedModel);

        Assert.Equal("qwen3", file.Metadata.RequireString("general.architecture"));
        Assert.Equal(158, file.Tensors.Count);
        Assert.True(file.Metadata["tokenizer.ggml.tokens"].TryGetStrings(out string[] tokens));
        Assert.Equal(8192, tokens.Length);
        Assert.Equal("<|im_end|>", tokens[8191]);
        Assert.Equal([384L, 64L], file.Find("blk.11.indexer.attn_k.weight")!.Dimensions);
    }
}
