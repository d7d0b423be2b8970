using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

public sealed class LayerListTests
{
    [Theory]
    [InlineData("all", "0,1,2,3,4,5,6,7,8,9,10,11")]
    [InlineData("none", "")]
    [InlineData("2,4,6", "2,4,6")]
    [InlineData("2-10", "2,3,4,5,6,7,8,9,10")]
    [InlineData(" 6 , 0-2,1", "0,1,2,6")]
    [InlineData("reserve:0", "0,1,2,3,4,5,6,7,8,9,10,11")]
    [InlineData("reserve:1", "1,2,3,4,5,6,7,8,9,10,11")]
    [InlineData("reserve:4", "1,2,3,5,6,8,9,10")]
    [InlineData("reserve:12", "")]
    public void A_list_is_read(string text, string expected) =>
        Assert.Equal(expected, string.Join(",", LayerList.Parse(text, 12)));

    [Theory]
    [InlineData("")]
    [InlineData("2,")]
    [InlineData("-1")]
    [InlineData("1-2-3")]
    [InlineData("5-4")]
    [InlineData("12")]
    [InlineData("0-12")]
    [InlineData("reserve:13")]
    [InlineData("reserve:x")]
    [InlineData("every")]
    [InlineData("99999999999")]
    public void Anything_else_is_refused(string text) =>
        Assert.Throws<ArgumentException>(() => LayerList.Parse(text, 12));
}
