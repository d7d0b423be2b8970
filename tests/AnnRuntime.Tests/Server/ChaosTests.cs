using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using AnnRuntime.Server;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>
/// Clients that leave, break off and talk nonsense, many at once: what is answered is right, nothing stays busy, nothing is
/// left behind. 100 requests; 1,000 with ANN_TEST_LONG=1, whose figures stand in docs/notes/2026-11-25-server.md.
/// </summary>
public sealed class ChaosTests(ModelFixture fixture, ITestOutputHelper output)
{
    private const int Clients = 12;
    private const int AnswerTokens = 8;

    private static readonly string[] BadBodies =
    [
        "", "{", "null", "[]", "\"text\"", """{"prompt":7}""", """{"prompt":[1,2.5]}""", """{"prompt":[99999999]}""",
        """{"prompt":"x","temperature":"warm"}""", """{"prompt":"x","max_tokens":-1}""", """{"prompt":"x","ann":{"top_k":1}}""",
        """{"prompt":"x","grammar":"root ::= nothing"}""", """{"prompt":"x","stop":[1]}""", "{\"prompt\":\"\\ud800\"}",
        $$"""{"prompt":[{{string.Join(',', Enumerable.Repeat(5, 5000))}}]}""",
    ];

    private static readonly string[] Nonsense =
    [
        "GET", "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"prompt\":\"half a",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "\0\u0001\u0002\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 59\r\n\r\n"
            + """{"prompt":"A client that leaves at once","max_tokens": 300}""",
    ];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Whatever_clients_do_answers_are_right_and_nothing_is_left_behind()
    {
        int count = Environment.GetEnvironmentVariable("ANN_TEST_LONG") == "1" ? 1000 : 100;
        await using ServerFixture server = await ServerFixture.StartAsync(
            fixture,
            new ServerOptions { MaxBodyBytes = 50_000 },
            new EngineOptions
            {
                Context = new ContextOptions { ContextLength = 4096, MaxSequences = 4, UbatchSize = 128 },
                QueueLimit = 20,
            });
        (string Body, string Text)[] questions = await AskAloneAsync(server);

        var counts = new Dictionary<string, int>();
        await RunAsync(server, questions, new Random(1), 40, []);
        Resources before = await Resources.TakeAsync(server);
        var clock = Stopwatch.StartNew();
        await RunAsync(server, questions, new Random(2), count, counts);
        TimeSpan time = clock.Elapsed;
        Resources after = await Resources.TakeAsync(server);

        EngineMetrics metrics = server.Engine.GetMetrics();
        output.WriteLine($"{count} requests in {time.TotalSeconds:0.0} s: {string.Join(", ", counts.OrderBy(pair => pair.Key).Select(pair => $"{pair.Value} {pair.Key}"))}");
        output.WriteLine($"engine: {metrics.Requests} ended, {metrics.Cancelled} cancelled, {metrics.Failed} failed, {metrics.Refused} refused");
        output.WriteLine($"before: {before}; after: {after}");
        Assert.Equal((0, 0, 0L), (metrics.Running, metrics.Queued, metrics.Failed));
        Assert.All(server.Engine.Slots, slot => Assert.False(slot.IsBusy, $"slot {slot.Id} is stuck"));
        Assert.InRange(after.Handles, 0, before.Handles + 4);
        Assert.InRange(after.ManagedBytes, 0, before.ManagedBytes + (4 << 20));
        Assert.InRange(after.ResidentBytes, 0, before.ResidentBytes + (24 << 20));
        foreach ((string body, string text) in questions)
        {
            (_, JsonElement answer) = await server.PostAsync("/v1/completions", body);
            Assert.Equal(text, Text(answer));
        }
    }

    // prompts of three kinds of search, some with common beginnings, each asked alone first. Sums are rounded otherwise in
    // every batch, so a question whose answer hangs on two tokens of nearly the same logit proves nothing and is left out.
    private async Task<(string Body, string Text)[]> AskAloneAsync(ServerFixture server)
    {
        SearchOptions[] kinds =
            [new() { Mode = SearchMode.Exact }, new() { Mode = SearchMode.Exact, TopK = 64 }, new() { Mode = SearchMode.Dense }];
        var generator = new PasswordPromptGenerator(fixture.Model);
        List<(string, string)> questions = [];
        for (int seed = 1; questions.Count < 9 && seed < 100; seed++)
        {
            SearchOptions search = kinds[questions.Count % 3];
            PasswordPrompt prompt = generator.Create(new PasswordPromptOptions { Length = 100 + 30 * (seed % 10), Seed = seed });
            if (Margin(prompt.Tokens, search) < 0.5f)
            {
                continue;
            }

            string body = JsonSerializer.Serialize(new
            {
                prompt = prompt.Tokens,
                max_tokens = AnswerTokens,
                temperature = 0,
                ann = new { mode = search.Mode!.Value.ToString(), top_k = search.TopK },
            });
            (HttpStatusCode status, JsonElement answer) = await server.PostAsync("/v1/completions", body);
            Assert.Equal(HttpStatusCode.OK, status);
            questions.Add((body, Text(answer)));
        }

        Assert.Equal(9, questions.Count);
        return [.. questions];
    }

    // the least distance between the chosen token's logit and the next one's, over the answer
    private float Margin(IReadOnlyList<int> prompt, SearchOptions search)
    {
        using AnnContext context = fixture.CreateContext(512, search);
        int[] tokens = [.. prompt];
        for (int start = 0; start < tokens.Length; start += 128)
        {
            context.Decode(tokens.AsSpan(start, Math.Min(128, tokens.Length - start)));
        }

        float margin = float.PositiveInfinity;
        for (int token = 0; token < AnswerTokens; token++)
        {
            ReadOnlySpan<float> logits = context.GetLogits();
            int best = 0;
            float second = float.NegativeInfinity;
            for (int id = 1; id < logits.Length; id++)
            {
                (best, second) = logits[id] > logits[best] ? (id, logits[best]) : (best, Math.Max(second, logits[id]));
            }

            margin = Math.Min(margin, logits[best] - second);
            context.Decode([best]);
        }

        return margin;
    }

    private static async Task RunAsync(
        ServerFixture server, (string Body, string Text)[] questions, Random random, int count, Dictionary<string, int> counts)
    {
        (int Action, int Question, int Detail)[] plan =
            [.. Enumerable.Range(0, count).Select(_ => (random.Next(12), random.Next(questions.Length), random.Next(1000)))];
        int next = -1;
        using var client = new HttpClient { BaseAddress = server.Client.BaseAddress };
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
        {
            for (int index = Interlocked.Increment(ref next); index < plan.Length; index = Interlocked.Increment(ref next))
            {
                (int action, int question, int detail) = plan[index];
                string what = await DoAsync(client, action, questions[question], detail);
                lock (counts)
                {
                    counts[what] = counts.GetValueOrDefault(what) + 1;
                }
            }
        }, Token)));
    }

    private static async Task<string> DoAsync(HttpClient client, int action, (string Body, string Text) question, int detail)
    {
        switch (action)
        {
            case <= 3:
                return await WholeAsync(client, question);
            case <= 5:
                return await StreamAsync(client, question, events: int.MaxValue);
            case <= 7:
                return await StreamAsync(client, Endless(question), events: detail % 6);
            case 8:
                return await CancelAsync(client, Endless(question), TimeSpan.FromMilliseconds(detail % 60));
            case 9:
                return await ObserveAsync(client, Endless(question), events: 2 + detail % 3);
            case 10:
                return await BadAsync(client, BadBodies[detail % BadBodies.Length]);
            default:
                return await TalkNonsenseAsync(client.BaseAddress!, Nonsense[detail % Nonsense.Length], reset: detail % 2 == 0);
        }
    }

    private static async Task<string> WholeAsync(HttpClient client, (string Body, string Text) question)
    {
        using HttpResponseMessage response = await PostAsync(client, question.Body);
        JsonElement answer = JsonElement.Parse(await response.Content.ReadAsStringAsync(Token));
        if (response.StatusCode == HttpStatusCode.TooManyRequests)
        {
            return "refused by the queue";
        }

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(question.Text, Text(answer));
        return "whole answers";
    }

    // reads so many events and leaves; all of them are the whole answer
    private static async Task<string> StreamAsync(HttpClient client, (string Body, string Text) question, int events)
    {
        string body = question.Body.Replace("{\"prompt\"", "{\"stream\":true,\"prompt\"", StringComparison.Ordinal);
        using HttpResponseMessage response = await PostAsync(client, body);
        if (response.StatusCode == HttpStatusCode.TooManyRequests)
        {
            return "refused by the queue";
        }

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Token));
        var text = new StringBuilder();
        while (events > 0 && await reader.ReadLineAsync(Token) is { } line)
        {
            if (line == "data: [DONE]")
            {
                Assert.Equal(question.Text, text.ToString());
                return "streams";
            }

            if (line.StartsWith("data: ", StringComparison.Ordinal))
            {
                events--;
                foreach (JsonElement choice in JsonElement.Parse(line["data: ".Length..]).GetProperty("choices").EnumerateArray())
                {
                    text.Append(choice.GetProperty("text").GetString());
                }
            }
        }

        return "streams left";
    }

    private static Task<string> ObserveAsync(HttpClient client, (string Body, string Text) question, int events) =>
        StreamAsync(client, (question.Body.Replace("\"ann\":{", "\"ann\":{\"observe\":true,", StringComparison.Ordinal), question.Text), events);

    private static async Task<string> CancelAsync(HttpClient client, (string Body, string Text) question, TimeSpan after)
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        cancel.CancelAfter(after);
        try
        {
            using HttpResponseMessage response = await PostAsync(client, question.Body, cancel.Token);
            return "answered before the cancel";
        }
        catch (OperationCanceledException)
        {
            return "cancelled";
        }
    }

    private static async Task<string> BadAsync(HttpClient client, string body)
    {
        using HttpResponseMessage response = await PostAsync(client, body);
        JsonElement error = JsonElement.Parse(await response.Content.ReadAsStringAsync(Token)).GetProperty("error");
        Assert.Contains(response.StatusCode, (HttpStatusCode[])[HttpStatusCode.BadRequest, HttpStatusCode.RequestEntityTooLarge]);
        Assert.NotEmpty(error.GetProperty("message").GetString()!);
        return "bad bodies";
    }

    private static async Task<string> TalkNonsenseAsync(Uri address, string bytes, bool reset)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(address.Host, address.Port, Token);
        await socket.SendAsync(Encoding.Latin1.GetBytes(bytes), Token);
        await Task.Delay(5, Token);
        if (reset)
        {
            socket.LingerState = new LingerOption(true, 0);
        }

        return "broken connections";
    }

    private static (string Body, string Text) Endless((string Body, string Text) question) =>
        (question.Body.Replace($"\"max_tokens\":{AnswerTokens},", "\"max_tokens\":300,", StringComparison.Ordinal), question.Text);

    private static async Task<HttpResponseMessage> PostAsync(HttpClient client, string body, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        };
        return await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    private static string Text(JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("text").GetString()!;

    /// <summary>What the process holds once every request has ended.</summary>
    private sealed record Resources(int Handles, long ManagedBytes, long ResidentBytes)
    {
        public override string ToString() =>
            $"{Handles} handles, {ManagedBytes / 1048576.0:0.0} MiB managed, {ResidentBytes / 1048576.0:0} MiB resident";

        public static async Task<Resources> TakeAsync(ServerFixture server)
        {
            for (int wait = 0; wait < 500 && server.Engine.GetMetrics() is { Running: > 0 } or { Queued: > 0 }; wait++)
            {
                await Task.Delay(20, Token);
            }

            // sockets that were closed are gone when they have been collected and the server has seen it
            int handles = int.MaxValue;
            for (int wait = 0; wait < 100 && Count() < handles; wait++)
            {
                handles = Count();
                await Task.Delay(100, Token);
            }

            // what is free is given back, so that what is resident is in use
            GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            if (OperatingSystem.IsLinux())
            {
                _ = malloc_trim(0);
            }

            return new Resources(handles, GC.GetTotalMemory(forceFullCollection: true), Environment.WorkingSet);
        }

        [DllImport("libc")]
        private static extern int malloc_trim(nuint pad);

        private static int Count()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return Directory.Exists("/proc/self/fd")
                ? Directory.GetFiles("/proc/self/fd").Length
                : Process.GetCurrentProcess().HandleCount;
        }
    }
}
