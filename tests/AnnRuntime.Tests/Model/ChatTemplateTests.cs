using Xunit;

namespace AnnRuntime.Tests.Model;

public sealed class ChatTemplateTests(ModelFixture fixture)
{
    [Fact]
    public void Messages_become_the_prompt_of_the_template()
    {
        ChatPrompt prompt = fixture.Model.ChatTemplate.Apply(
        [
            new ChatMessage("system", "Be brief."),
            new ChatMessage("user", "Hello."),
            new ChatMessage("assistant", "Hi."),
            new ChatMessage("user", "Bye."),
        ]);
        Assert.Contains("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello.<|im_end|>", prompt.Prompt);
        Assert.Contains("<|im_start|>user\nBye.<|im_end|>\n<|im_start|>assistant\n", prompt.Prompt);
    }

    [Fact]
    public void An_answer_is_parsed_back()
    {
        ChatPrompt prompt = fixture.Model.ChatTemplate.Apply([new ChatMessage("user", "Hello.")]);
        ChatMessage answer = ChatTemplate.Parse("Good morning.", prompt);
        Assert.Equal(("assistant", "Good morning."), (answer.Role, answer.Content));
    }

    [Fact]
    public void A_conversation_without_a_message_is_refused()
    {
        var exception = Assert.Throws<ArgumentException>(() => fixture.Model.ChatTemplate.Apply([]));
        Assert.Contains("no message", exception.Message);
    }

    [Fact]
    public void A_template_that_is_no_jinja_is_refused()
    {
        Assert.ThrowsAny<Exception>(() => fixture.Model.ChatTemplate.Apply(
            [new ChatMessage("user", "Hello.")], new ChatOptions { Template = "{% for %}" }));
    }
}
