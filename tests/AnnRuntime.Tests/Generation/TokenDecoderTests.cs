using System.Text;
using Xunit;

namespace AnnRuntime.Tests.Generation;

public sealed class TokenDecoderTests
{
    private const string Text = "naïve 日本語 👍🏽 é end";

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void Characters_split_over_pieces_come_whole(int size)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(Text);
        var decoder = new TokenDecoder();
        var pieces = new List<string>();
        foreach (byte[] piece in bytes.Chunk(size))
        {
            pieces.Add(decoder.Append(piece));
        }

        pieces.Add(decoder.Flush());

        Assert.Equal(Text, string.Concat(pieces));
        Assert.DoesNotContain(pieces, piece => piece.Contains('\uFFFD'));
        Assert.DoesNotContain(pieces, piece => piece.Length > 0 && char.IsHighSurrogate(piece[^1]));
        Assert.DoesNotContain(pieces, piece => piece.Length > 0 && char.IsLowSurrogate(piece[0]));
    }

    [Fact]
    public void Bytes_that_are_no_character_become_replacement_characters()
    {
        var decoder = new TokenDecoder();
        Assert.Equal("a\uFFFDb", decoder.Append([(byte)'a', 0xFF, (byte)'b']));
    }

    [Fact]
    public void An_unfinished_character_appears_at_the_end_only()
    {
        var decoder = new TokenDecoder();
        Assert.Equal("", decoder.Append([0xF0, 0x9F]));
        Assert.Equal("", decoder.Append([0x91]));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("", decoder.Flush());
    }

    [Fact]
    public void No_bytes_are_no_text()
    {
        var decoder = new TokenDecoder();
        Assert.Equal("", decoder.Append([]));
        Assert.Equal("", decoder.Flush());
    }
}
