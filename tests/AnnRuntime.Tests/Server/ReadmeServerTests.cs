using System.Net;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>The request of README.md's curl example is answered.</summary>
public sealed partial class ReadmeServerTests(ModelFixture fixture)
{
    [Fact]
    public async Task The_example_is_answered()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("README.md")!;
        using var reader = new StreamReader(stream);
        Match example = Example().Match(await reader.ReadToEndAsync());
        Assert.True(example.Success, "README.md has no curl example");
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);

        (HttpStatusCode status, JsonElement body) = await server.PostAsync(example.Groups[1].Value, example.Groups[2].Value);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.NotEmpty(body.GetProperty("choices")[0].GetProperty("text").GetString()!);
        Assert.Equal(128, body.GetProperty("ann").GetProperty("top_k").GetInt32());
    }

    [GeneratedRegex(@"curl http://127\.0\.0\.1:8080(\S+) .*?-d '(.*?)'", RegexOptions.Singleline)]
    private static partial Regex Example();
}
