using System.Text;
using Xunit;

namespace AnnRuntime.Tests.Model;

public sealed class TokenizerTests(ModelFixture fixture)
{
    [Theory]
    [InlineData("The memory of a computer.")]
    [InlineData("naïve 日本語 👍🏽 — “quotes”\r\n\ttabs")]
    [InlineData("")]
    public void Text_comes_back_from_its_tokens(string text)
    {
        Tokenizer tokenizer = fixture.Model.Tokenizer;
        Assert.Equal(text, tokenizer.Detokenize(tokenizer.Tokenize(text)));
        Assert.Equal(tokenizer.Tokenize(text), tokenizer.Tokenize(Encoding.UTF8.GetBytes(text)));
    }

    [Fact]
    public void Special_tokens_are_recognised_on_request()
    {
        Tokenizer tokenizer = fixture.Model.Tokenizer;
        Assert.Equal([8190], tokenizer.Tokenize("<|im_start|>"));
        Assert.True(tokenizer.Tokenize("<|im_start|>", parseSpecial: false).Length > 1);
        Assert.Equal("", tokenizer.Detokenize([8190]));
        Assert.Equal("<|im_start|>", tokenizer.Detokenize([8190], special: true));
        Assert.True(tokenizer.IsEndOfGeneration(8191));
        Assert.False(tokenizer.IsEndOfGeneration(100));
        Assert.False(tokenizer.IsEndOfGeneration(-5));
    }

    [Fact]
    public void Invalid_utf8_is_refused_with_its_offset()
    {
        var exception = Assert.Throws<ArgumentException>(
            () => fixture.Model.Tokenizer.Tokenize([(byte)'a', (byte)'b', 0xC3, 0x28]));
        Assert.Contains("2", exception.Message);
        exception = Assert.Throws<ArgumentException>(() => fixture.Model.Tokenizer.Tokenize("half \uD83D"));
        Assert.Contains("unpaired surrogate stands at index 5", exception.Message);
    }

    [Fact]
    public void Unknown_tokens_are_refused()
    {
        Assert.Throws<ArgumentException>(() => fixture.Model.Tokenizer.GetBytes(-1));
        Assert.Throws<ArgumentException>(() => fixture.Model.Tokenizer.GetBytes(8192));
    }

    [Fact]
    public void The_prompt_of_a_seed_has_the_length_asked_for()
    {
        var generator = new PasswordPromptGenerator(fixture.Model);
        foreach (int length in (int[])[256, 1024, 8192])
        {
            foreach (bool chat in (bool[])[false, true])
            {
                Assert.Equal(
                    length, generator.Create(new PasswordPromptOptions { Length = length, Chat = chat }).Tokens.Count);
            }
        }
    }
}
