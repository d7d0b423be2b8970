using AnnRuntime.Evaluation;
using AnnRuntime.Tests.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Evaluation;

/// <summary>Prompts of the long-context tasks and their scores.</summary>
public sealed class TaskTests(ModelFixture fixture)
{
    public static TheoryData<string> Names => [.. TaskGenerator.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_prompt_fills_its_length_holds_its_references_and_is_the_same_again(string task)
    {
        const int Length = 2500; // of the counting tasks, the example alone takes half of it
        IReadOnlyList<TaskPrompt> prompts = TaskGenerator.Create(fixture.Model, task, Length, 2, 7);
        Assert.Equal(2, prompts.Count);
        foreach (TaskPrompt prompt in prompts)
        {
            Assert.InRange(prompt.Tokens.Count + prompt.AnswerTokens, Length - 160, Length);
            string text = fixture.Model.Tokenizer.Detokenize([.. prompt.Tokens]);
            Assert.All(prompt.References, reference => Assert.Contains(reference, text));
            Assert.Equal(100, prompt.Score(string.Join(", ", prompt.References).ToUpperInvariant()));
            Assert.Equal(0, prompt.Score(""));
        }

        IReadOnlyList<TaskPrompt> again = TaskGenerator.Create(fixture.Model, task, Length, 1, 7);
        Assert.Equal(prompts[0].Tokens, again[0].Tokens);
        Assert.NotEqual(prompts[0].Tokens, TaskGenerator.Create(fixture.Model, task, Length, 1, 8)[0].Tokens);
    }

    [Theory]
    [InlineData("niah_single_1", 1)]
    [InlineData("niah_multivalue", 4)]
    [InlineData("niah_multiquery", 4)]
    [InlineData("vt", 5)]
    [InlineData("cwe", 10)]
    [InlineData("fwe", 3)]
    public void Tasks_ask_for_as_many_answers_as_RULER(string task, int count) =>
        Assert.Equal(count, TaskGenerator.Create(fixture.Model, task, 3000, 1, 1)[0].References.Distinct().Count());

    [Fact]
    public void The_score_is_the_share_of_the_references_case_ignored()
    {
        var prompt = new TaskPrompt("t", 1, 0, null, [], ["Alpha", "beta", "7319", "x-y"], 1);
        Assert.Equal(75, prompt.Score("ALPHA and 7319. Also X-Y"));
    }

    [Fact]
    public void A_needle_stands_where_its_depth_says()
    {
        foreach (TaskPrompt prompt in TaskGenerator.Create(fixture.Model, "niah_single_1", 3000, 5, 1))
        {
            string text = fixture.Model.Tokenizer.Detokenize([.. prompt.Tokens]);
            double at = (double)text.IndexOf("One of the special magic", StringComparison.Ordinal) / text.Length;
            Assert.InRange(at, prompt.Depth!.Value * 0.93 - 0.04, prompt.Depth.Value * 0.93 + 0.07);
        }
    }

    [Fact]
    public void Too_short_a_length_is_refused()
    {
        Assert.Contains("cwe needs at least", Assert.Throws<ArgumentException>(
            () => TaskGenerator.Create(fixture.Model, "cwe", 200, 1, 1)).Message);
    }

    [Fact]
    public void Prompts_of_a_file_are_read_and_a_wrong_line_is_named()
    {
        using var folder = new ScratchFolder();
        File.WriteAllText(folder["a.jsonl"], "{\"prompt\": \"The sky\", \"answer\": \"blue\", \"set\": \"plain\", \"prompt_tokens\": 3}\n{\"prompt\": 1}\n");
        Assert.Contains("Line 2", Assert.Throws<ArgumentException>(() => TaskPrompt.Read(fixture.Model, folder["a.jsonl"])).Message);
        File.WriteAllText(folder["a.jsonl"], "{\"prompt\": \"The sky\", \"answer\": \"blue\", \"set\": \"plain\", \"prompt_tokens\": 3}\n");
        TaskPrompt prompt = Assert.Single(TaskPrompt.Read(fixture.Model, folder["a.jsonl"]));
        Assert.Equal(("plain", 3, "blue"), (prompt.Task, prompt.Length, prompt.References[0]));
    }
}
