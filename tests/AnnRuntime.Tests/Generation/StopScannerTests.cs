using Xunit;

namespace AnnRuntime.Tests.Generation;

public sealed class StopScannerTests
{
    [Fact]
    public void A_stop_string_over_several_pieces_is_never_shown()
    {
        var scanner = new StopScanner(["</answer>"]);
        Assert.Equal("yes", scanner.Append("yes"));
        Assert.Equal("", scanner.Append("</"));
        Assert.Equal("", scanner.Append("ans"));
        Assert.Null(scanner.Found);
        Assert.Equal("", scanner.Append("wer> more"));
        Assert.Equal("</answer>", scanner.Found);
        Assert.Equal("", scanner.Append("nothing comes any more"));
        Assert.Equal("", scanner.Flush());
    }

    [Fact]
    public void Text_that_turns_out_to_be_no_stop_string_is_shown()
    {
        var scanner = new StopScanner(["</answer>"]);
        Assert.Equal("a ", scanner.Append("a </"));
        Assert.Equal("</b>", scanner.Append("b>"));
        Assert.Null(scanner.Found);
    }

    [Fact]
    public void The_beginning_of_a_stop_string_is_shown_at_the_end()
    {
        var scanner = new StopScanner(["\n\n"]);
        Assert.Equal("a", scanner.Append("a\n"));
        Assert.Equal("\n", scanner.Flush());
    }

    [Fact]
    public void The_first_of_several_stop_strings_wins()
    {
        var scanner = new StopScanner(["three", "two"]);
        Assert.Equal("one ", scanner.Append("one two three"));
        Assert.Equal("two", scanner.Found);
    }

    [Fact]
    public void A_repeated_beginning_is_held_back_to_its_longest_end()
    {
        var scanner = new StopScanner(["aab"]);
        Assert.Equal("a", scanner.Append("aaa"));
        Assert.Equal("", scanner.Append("b"));
        Assert.Equal("aab", scanner.Found);
    }

    [Fact]
    public void Without_stop_strings_everything_is_shown()
    {
        var scanner = new StopScanner([]);
        Assert.Equal("text", scanner.Append("text"));
        Assert.Equal("", scanner.Flush());
    }
}
