using System.Buffers.Binary;
using System.Text;
using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

public sealed class SafetensorsTests
{
    [Fact]
    public void What_was_written_is_read_back()
    {
        byte[] bytes = Sample();
        using SafetensorsFile file = SafetensorsFile.FromMemory(bytes);

        Assert.Equal("a \"text\"", file.Metadata["key"]);
        Assert.Equal(["one", "two", "three"], file.Tensors.Keys);
        Assert.Equal([2L, 2L], file.Tensors["one"].Shape);
        Assert.Equal([1, 2, 3, -4], file.ReadTensor(file.Tensors["one"]));
        Assert.Equal([0.5f, -0.25f], file.ReadTensor(file.Tensors["two"]));
        Assert.Equal([2f], file.ReadTensor(file.Tensors["three"]));
        Assert.Equal(0, BinaryPrimitives.ReadInt64LittleEndian(bytes) % 8);
    }

    [Fact]
    public void A_file_cut_or_changed_anywhere_is_read_or_refused()
    {
        byte[] sample = Sample();
        Random random = new(5);
        for (int length = 0; length < sample.Length; length++)
        {
            Assert.Throws<TensorFileException>(() => SafetensorsFile.FromMemory(sample.AsMemory(0, length)));
        }

        for (int i = 0; i < 5000; i++)
        {
            byte[] bytes = [.. sample];
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                using SafetensorsFile file = SafetensorsFile.FromMemory(bytes);
                foreach (SafetensorsTensor tensor in file.Tensors.Values)
                {
                    _ = file.ReadTensor(tensor);
                }
            }
            catch (TensorFileException)
            {
                continue;
            }
        }
    }

    [Theory]
    [InlineData("[]", "the header is a JSON Array; expected an object")]
    [InlineData("{", "the header is not valid JSON")]
    [InlineData("{\"a\":{}}", "tensor a has no dtype")]
    [InlineData("{\"a\":1}", "tensor a has no dtype")]
    [InlineData("{\"a\":{\"dtype\":\"I64\"}}", "tensor a has dtype I64; expected F32, F16 or BF16")]
    [InlineData("{\"a\":{\"dtype\":\"F32\"}}", "tensor a has no shape")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "tensor a has no data_offsets")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "tensor a has -1 in shape; expected whole numbers from 0")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "expected start and end inside the 4 bytes of data")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
        "tensor a of shape [2] and dtype F32 has 4 bytes, which is not its size")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,0]}}", "has 0 bytes, which is not its size")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,4],\"data_offsets\":[0,4]}}",
        "which is not its size")]
    [InlineData("{\"__metadata__\":{\"a\":1}}", "__metadata__ a is a JSON Number; expected a string")]
    [InlineData("{\"__metadata__\":[]}", "__metadata__ is a JSON Array; expected an object")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "tensor a stands in the header twice")]
    [InlineData("{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "not valid Unicode")]
    public void Each_refusal_says_what(string header, string expected)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] bytes = [.. BitConverter.GetBytes((long)json.Length), .. json, 0, 0, 0, 0];

        TensorFileException e = Assert.Throws<TensorFileException>(() => SafetensorsFile.FromMemory(
            bytes, "p.safetensors"));

        Assert.StartsWith("p.safetensors: ", e.Message);
        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public void A_header_longer_than_the_file_allocates_nothing()
    {
        byte[] bytes = BitConverter.GetBytes(long.MaxValue);

        TensorFileException e = Assert.Throws<TensorFileException>(() => SafetensorsFile.FromMemory(bytes));

        Assert.Contains("the header length is 9223372036854775807, but the 0 bytes left", e.Message);
    }

    private static byte[] Sample()
    {
        byte[] one = new byte[16];
        byte[] two = new byte[4];
        byte[] three = new byte[2];
        TensorConverter.FromSingle(TensorType.F32, [1, 2, 3, -4], one);
        TensorConverter.FromSingle(TensorType.F16, [0.5f, -0.25f], two);
        TensorConverter.FromSingle(TensorType.BF16, [2], three);
        using MemoryStream stream = new();
        SafetensorsWriter.Write(
            stream,
            new Dictionary<string, string> { ["key"] = "a \"text\"" },
            [
                ("one", [2L, 2L], TensorType.F32, one), ("two", [2L], TensorType.F16, two),
                ("three", [], TensorType.BF16, three),
            ]);
        return stream.ToArray();
    }
}
