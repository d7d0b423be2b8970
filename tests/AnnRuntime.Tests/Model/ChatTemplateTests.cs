using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests.Model;

public sealed class ChatTemplateTests(ModelFixture fixture)
{
    // calls as JSON between two marks
    private const string ToolTemplate = """
        {%- if tools %}{{- '<|im_start|>system\nTools:\n' }}{%- for tool in tools %}{{- tool | tojson }}{{- '\n' }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endif %}
        {%- for message in messages %}
            {{- '<|im_start|>' + message.role + '\n' }}
            {%- if message.content %}{{- message.content }}{%- endif %}
            {%- if message.tool_calls %}
                {%- for call in message.tool_calls %}
                    {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
                    {{- call.function.arguments | tojson }}
                    {{- '}\n</tool_call>' }}
                {%- endfor %}
            {%- endif %}
            {{- '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
        """;

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

    [Theory]
    [InlineData("auto", true)]
    [InlineData("required", false)]
    public void Tools_give_a_grammar_that_is_lazy_unless_a_call_is_required(string choice, bool lazy)
    {
        JsonElement tool = JsonElement.Parse("""
            {"type":"function","function":{"name":"rain","description":"Whether it rains","parameters":
             {"type":"object","properties":{"tomorrow":{"type":"boolean"}},"required":["tomorrow"]}}}
            """);
        ChatPrompt prompt = fixture.Model.ChatTemplate.Apply(
            [new ChatMessage("user", "Will it rain?")],
            new ChatOptions { Template = ToolTemplate, Tools = [tool], ToolChoice = choice });

        Assert.Equal(lazy, prompt.GrammarLazy);
        SamplingOptions sampling = prompt.Constrain(SamplingOptions.Greedy);
        Assert.Equal(prompt.Grammar, sampling.Grammar);
        Assert.Equal(lazy, sampling.GrammarTriggerPatterns.Count + sampling.GrammarTriggerTokens.Count > 0);
        Assert.Equal(lazy ? null : prompt.GenerationPrompt, sampling.GrammarPrefix);
        new Sampler(fixture.Model, sampling).Dispose();
        if (lazy)
        {
            // a call begins with what the template puts before one
            const string Call = "It may.\n<tool_call>\n{\"name\": \"rain\", \"arguments\": {\"tomorrow\": true}}\n</tool_call>";
            Assert.Contains(prompt.GrammarTriggerPatterns, pattern => Regex.IsMatch(Call, pattern));
            Assert.DoesNotContain(prompt.GrammarTriggerPatterns, pattern => Regex.IsMatch("It may.\n", pattern));
            ChatToolCall call = Assert.Single(ChatTemplate.Parse(Call, prompt).ToolCalls!);
            Assert.Equal("rain", call.Name);
        }
    }

    [Fact]
    public void Without_tools_nothing_is_constrained()
    {
        ChatPrompt prompt = fixture.Model.ChatTemplate.Apply([new ChatMessage("user", "Hello.")]);
        Assert.Same(SamplingOptions.Greedy, prompt.Constrain(SamplingOptions.Greedy));
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
