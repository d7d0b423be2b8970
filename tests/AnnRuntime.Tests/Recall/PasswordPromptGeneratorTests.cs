using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests.Recall;

public sealed partial class PasswordPromptGeneratorTests
{
    private static readonly PasswordPromptGenerator Generator = new(
        Tokenize, text => $"<user>{text}<assistant>", FillerText.Default);

    [Theory]
    [InlineData(64)]
    [InlineData(500)]
    [InlineData(8192)]
    [InlineData(40000)]
    public void A_prompt_has_exactly_the_length_asked_for(int length)
    {
        foreach (NeedlePosition needle in Enum.GetValues<NeedlePosition>())
        {
            PasswordPrompt prompt = Generator.Create(new PasswordPromptOptions { Length = length, Needle = needle });
            Assert.Equal(length, prompt.Tokens.Count);
            Assert.Equal(Tokenize(prompt.Text), prompt.Tokens);
        }
    }

    [Fact]
    public void The_same_options_give_the_same_prompt_and_other_ones_another()
    {
        var options = new PasswordPromptOptions { Length = 1000, Seed = 3 };
        PasswordPrompt prompt = Generator.Create(options);
        Assert.Equal(prompt.Text, Generator.Create(options with { }).Text);
        Assert.NotEqual(prompt.Answer, Generator.Create(options with { Seed = 4 }).Answer);
        Assert.NotEqual(prompt.Answer, Generator.Create(options with { Needle = NeedlePosition.Late }).Answer);
    }

    [Fact]
    public void The_password_of_a_seed_is_the_same_on_every_machine()
    {
        // a change here changes every recorded recall
        Assert.Equal("NECTAR-0863-SUNSET", Generator.Create(new PasswordPromptOptions { Length = 500, Seed = 1 }).Answer);
    }

    [Theory]
    [InlineData(NeedlePosition.Early, 0, 0.01)]
    [InlineData(NeedlePosition.Middle, 0.4, 0.6)]
    [InlineData(NeedlePosition.Late, 0.85, 0.97)]
    public void The_password_stands_once_and_where_it_should(NeedlePosition needle, double from, double to)
    {
        PasswordPrompt prompt = Generator.Create(new PasswordPromptOptions { Length = 8000, Needle = needle });
        int at = prompt.Text.IndexOf(prompt.Answer, StringComparison.Ordinal);
        Assert.InRange((double)at / prompt.Text.Length, from, to);
        Assert.Equal(-1, prompt.Text.IndexOf(prompt.Answer, at + 1, StringComparison.Ordinal));
        Assert.EndsWith("\n\nWhat is the password? Answer with the password only.\nAnswer:", prompt.Text);
    }

    [Fact]
    public void A_password_has_two_different_words_and_digits_never_trained_on()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            string answer = Generator.Create(new PasswordPromptOptions { Length = 64, Seed = seed }).Answer;
            Match match = Password().Match(answer);
            Assert.True(match.Success, answer);
            Assert.NotEqual(match.Groups[1].Value, match.Groups[3].Value);
            Assert.Contains(match.Groups[1].Value, PasswordWords.Known);
            Assert.Equal(5, int.Parse(match.Groups[2].ValueSpan) % 11);
        }
    }

    [Fact]
    public void Unseen_words_are_none_of_the_known()
    {
        Assert.Equal(360, PasswordWords.Known.Distinct().Count());
        Assert.Equal(40, PasswordWords.Unseen.Distinct().Count());
        Assert.Empty(PasswordWords.Known.Intersect(PasswordWords.Unseen));
        string answer = Generator.Create(new PasswordPromptOptions { Length = 64, UnseenWords = true }).Answer;
        Assert.Contains(answer.Split('-')[0], PasswordWords.Unseen);
    }

    [Fact]
    public void A_chat_prompt_is_wrapped_and_has_no_answer_mark()
    {
        PasswordPrompt prompt = Generator.Create(new PasswordPromptOptions { Length = 300, Chat = true });
        Assert.StartsWith("<user>", prompt.Text);
        Assert.EndsWith("Answer with the password only.<assistant>", prompt.Text);
        Assert.Equal(300, prompt.Tokens.Count);
    }

    [Fact]
    public void A_length_without_room_for_the_question_is_refused()
    {
        var exception = Assert.Throws<ArgumentException>(() => Generator.Create(new PasswordPromptOptions { Length = 10 }));
        Assert.Contains("The length is 10 tokens", exception.Message);
    }

    [Fact]
    public void Only_the_password_alone_is_right()
    {
        PasswordPrompt prompt = Generator.Create(new PasswordPromptOptions { Length = 64 });
        Assert.True(PasswordPromptGenerator.IsRight(prompt, $" {prompt.Answer}\n"));
        Assert.False(PasswordPromptGenerator.IsRight(prompt, prompt.Answer.ToLowerInvariant()));
        Assert.False(PasswordPromptGenerator.IsRight(prompt, $"{prompt.Answer} or so"));
        Assert.False(PasswordPromptGenerator.IsRight(prompt, ""));
    }

    [Fact]
    public void A_text_longer_than_the_filler_goes_on_in_another_order()
    {
        var filler = new FillerText("a1 a2\n\nb1 b2\n\nc1 c2\n\nd1 d2\n\ne1 e2");
        string[] firsts = [.. filler.Take(0, 20).Select(words => words[0])];
        Assert.Equal(["a1", "b1", "c1", "d1", "e1"], firsts[..5]);
        Assert.Equal(firsts[..5].Order(), firsts[5..].Order());
        Assert.NotEqual(firsts[..5], firsts[5..]);
    }

    // up to four letters of a word, with the space before it, or one other character
    private static int[] Tokenize(string text) =>
        [.. Token().Matches(text).Select(match => string.GetHashCode(match.ValueSpan, StringComparison.Ordinal))];

    [GeneratedRegex(@" ?\w{1,4}|\s|.", RegexOptions.Singleline)]
    private static partial Regex Token();

    [GeneratedRegex(@"^([A-Z]+)-(\d{4})-([A-Z]+)$")]
    private static partial Regex Password();
}
