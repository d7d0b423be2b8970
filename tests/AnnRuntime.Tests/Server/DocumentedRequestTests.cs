using System.Net;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>Every curl command of README.md and docs/server.md is answered as the text says.</summary>
public sealed partial class DocumentedRequestTests(ModelFixture fixture)
{
    [Theory]
    [InlineData("README.md", 1)]
    [InlineData("server.md", 11)]
    public async Task Every_example_is_answered(string document, int count)
    {
        (string Path, string? Body)[] examples = [.. Commands(document)];
        Assert.Equal(count, examples.Length);
        await using ServerFixture server = await ServerFixture.StartAsync(fixture);
        foreach ((string path, string? body) in examples)
        {
            using var request = new HttpRequestMessage(body is null ? HttpMethod.Get : HttpMethod.Post, path);
            request.Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json");
            using HttpResponseMessage response = await server.Client.SendAsync(request);
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.StatusCode == HttpStatusCode.OK, $"{document}: {path} {body} gets {response.StatusCode} {text}");
            Check(path, body, text);
        }
    }

    private static void Check(string path, string? body, string text)
    {
        JsonElement asked = body is null ? default : JsonElement.Parse(body);
        switch (path)
        {
            case "/metrics":
                Assert.Contains("\nllamacpp:tokens_predicted_total ", text);
                break;
            case "/v1/completions":
                JsonElement answer = JsonElement.Parse(text);
                Assert.NotEmpty(answer.GetProperty("choices")[0].GetProperty("text").GetString()!);
                Assert.Equal(
                    asked.GetProperty("ann").GetProperty("mode").GetString(), answer.GetProperty("ann").GetProperty("mode").GetString());
                break;
            case "/v1/chat/completions" when asked.TryGetProperty("stream", out _):
                string[] events = text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
                Assert.Equal("data: [DONE]", events[^1]);
                Assert.Contains("\"usage\"", events[^2]);
                Assert.Contains(events, one => one.Contains("\"retrieval\"", StringComparison.Ordinal));
                break;
            case "/v1/chat/completions":
                string content = JsonElement.Parse(text).GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
                Assert.NotEmpty(content);
                if (asked.TryGetProperty("response_format", out _))
                {
                    Assert.True(JsonElement.Parse(content).TryGetProperty("wet", out _));
                }

                break;
            default:
                Assert.Contains(JsonElement.Parse(text).ValueKind, (JsonValueKind[])[JsonValueKind.Object, JsonValueKind.Array]);
                break;
        }
    }

    private static IEnumerable<(string Path, string? Body)> Commands(string document)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(document)!;
        using var reader = new StreamReader(stream);
        foreach (Match command in Command().Matches(reader.ReadToEnd()))
        {
            yield return (command.Groups["path"].Value, command.Groups["body"] is { Success: true } body ? body.Value : null);
        }
    }

    // curl, the address, perhaps a header and a body in single quotes that may go on over lines
    [GeneratedRegex(@"^curl '?http://127\.0\.0\.1:8080(?<path>[^'\s]+)'?(?: -H '[^']*'(?: \\\n)?\s*)?(?:-d '(?<body>[^']*)')?", RegexOptions.Multiline)]
    private static partial Regex Command();
}
