using Xunit;

namespace AnnRuntime.Tests.Recall;

public sealed class PasswordRecallTests(ModelFixture fixture)
{
    [Fact]
    public async Task The_embedded_model_finds_a_password_with_full_attention_and_with_search()
    {
        var generator = new PasswordPromptGenerator(fixture.Model);
        PasswordPrompt prompt = generator.Create(new PasswordPromptOptions { Length = 1024, Needle = NeedlePosition.Middle });
        foreach (SearchMode mode in (SearchMode[])[SearchMode.Off, SearchMode.Exact])
        {
            using AnnContext context = fixture.CreateContext(1280, new SearchOptions { Mode = mode });
            await using var session = new AnnSession(context);
            PasswordRecallResult result = await PasswordRecall.AskAsync(
                session, prompt, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal(prompt.Answer, result.Answer);
            Assert.True(result.IsRight);
            Assert.Equal(1024, result.Generation.Timings.PromptTokens);
        }
    }
}
