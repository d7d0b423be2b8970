using System.Text.RegularExpressions;
using AnnRuntime.Server;
using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace AnnRuntime.Tests.Server;

/// <summary>The page as a person meets it, in a real Chromium. Pictures of it lie in build/page after the tests.</summary>
public sealed class PageTests(ModelFixture fixture, Browser browser) : IClassFixture<Browser>
{
    private const int Layers = 12;

    private readonly List<string> _complaints = [];

    [Fact]
    public async Task A_question_shows_what_each_layer_retrieves_while_it_is_answered()
    {
        (IPage page, ServerFixture server) = await OpenAsync();
        await using ServerFixture _ = server;
        await Expect(page.Locator("#model")).ToContainTextAsync("12 searched layers");
        await page.GetByRole(AriaRole.Button, new() { Name = "Example" }).ClickAsync();
        await Expect(page.GetByLabel("Message", new() { Exact = true })).ToHaveValueAsync(new Regex("password"));

        await page.GetByLabel("Tokens", new() { Exact = true }).FillAsync("24");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await Expect(page.Locator("#layers tbody tr")).ToHaveCountAsync(Layers);
        await EndAsync(page);

        Assert.NotEmpty((await page.Locator(".message.assistant").TextContentAsync())!["Model".Length..].Trim());
        string[] labels = await page.Locator("#layers canvas").EvaluateAllAsync<string[]>("all => all.map(one => one.ariaLabel)");
        Assert.All(labels, label => Assert.Matches(@"^128 of 1[0-9]{3} tokens retrieved$", label));
        int[] inked = await page.Locator("#layers canvas").EvaluateAllAsync<int[]>(
            "all => all.map(one => one.getContext('2d').getImageData(0, 0, one.width, 1).data.filter((x, i) => i % 4 === 3 && x > 0).length)");
        Assert.All(inked, columns => Assert.InRange(columns, 20, 400));
        int warm = await page.Locator("#text span").EvaluateAllAsync<int>("all => all.filter(one => one.style.background).length");
        Assert.InRange(warm, 128, 1300);
        await Expect(page.Locator("#mass")).ToHaveTextAsync(new Regex(@"^\d+\.\d %$"));
        await Expect(page.Locator("#recall")).ToHaveTextAsync(new Regex(@"^\d+\.\d %$"));
        await Expect(page.Locator("#used")).ToHaveTextAsync("K 128");
        Assert.True(double.Parse(await page.Locator("#speed").InnerTextAsync(), null) > 0);

        // an earlier token of the answer, by keyboard; then one layer alone
        await page.GetByLabel("Token of the answer").PressAsync("ArrowLeft");
        string last = await page.Locator("#stepText").InnerTextAsync();
        await page.GetByLabel("Token of the answer").PressAsync("ArrowLeft");
        await Expect(page.Locator("#stepText")).Not.ToHaveTextAsync(last);
        await page.GetByRole(AriaRole.Button, new() { Name = "Layer 3", Exact = true }).ClickAsync();
        await Expect(page.Locator("#layers button[aria-pressed=true]")).ToHaveTextAsync("3");
        Assert.Equal(128, await page.Locator("#text span").EvaluateAllAsync<int>("all => all.filter(one => one.style.background).length"));
        await page.GetByLabel("whole answer").CheckAsync();
        await Expect(page.Locator("#stepText")).ToContainTextAsync("all ");
        Assert.Empty(_complaints);
    }

    [Fact]
    public async Task A_conversation_goes_on_in_another_mode_and_reuses_its_cells()
    {
        (IPage page, ServerFixture server) = await OpenAsync();
        await using ServerFixture _ = server;
        await page.GetByLabel("Tokens", new() { Exact = true }).FillAsync("6");
        await AskAsync(page, "What is a cache? Say it in many words, so that there is something to read for you later on.");
        await AskAsync(page, "And a compiler?");
        Assert.True(int.Parse(await page.Locator("#cached").InnerTextAsync(), null) > 20, "nothing was reused");
        await Expect(page.Locator(".message")).ToHaveCountAsync(4);

        await page.GetByLabel("all cells").CheckAsync();
        await AskAsync(page, "And a linker?");
        await Expect(page.Locator("#used")).ToHaveTextAsync("all");
        await Expect(page.Locator("#layers canvas").First).ToHaveAttributeAsync(
            "aria-label", new Regex(@"^all \d+ tokens attended to"));
        await page.GetByLabel("show retrieval").UncheckAsync();
        await page.GetByLabel("continue the text").CheckAsync();
        await AskAsync(page, "The memory of a computer");
        await Expect(page.Locator("#layers")).ToBeHiddenAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "New" }).ClickAsync();
        await Expect(page.Locator(".message")).ToHaveCountAsync(0);
        Assert.Empty(_complaints);
    }

    [Fact]
    public async Task An_answer_is_seen_while_it_grows_and_can_be_stopped()
    {
        (IPage page, ServerFixture server) = await OpenAsync();
        await using ServerFixture _ = server;
        server.Engine.BeforeDecode = _ => Thread.Sleep(30); // the answer must not end before the click
        await page.GetByLabel("continue the text").CheckAsync();
        await page.GetByLabel("Tokens", new() { Exact = true }).FillAsync("1500");
        await page.GetByLabel("Message", new() { Exact = true }).FillAsync(fixture.Model.Tokenizer.Detokenize(fixture.Prose(300)));
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await page.WaitForFunctionAsync("() => Number(document.getElementById('step').max) >= 3");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Send" })).ToBeDisabledAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Stop" }).ClickAsync();
        await EndAsync(page);
        await Expect(page.Locator(".message small")).ToHaveTextAsync("stopped");
        Assert.True(
            SpinWait.SpinUntil(() => server.Engine.Slots.All(slot => !slot.IsBusy), TimeSpan.FromSeconds(10)), "a slot is stuck");
        Assert.Empty(_complaints);
    }

    [Fact]
    public async Task A_key_is_asked_for_and_an_error_is_told()
    {
        (IPage page, ServerFixture server) = await OpenAsync(options: new ServerOptions { ApiKeys = ["secret"] });
        await using ServerFixture _ = server;
        await Expect(page.Locator("#model")).ToContainTextAsync("API key is missing");
        await page.GetByLabel("API key").FillAsync("secret");
        await page.GetByLabel("API key").PressAsync("Tab");
        await Expect(page.Locator("#model")).ToContainTextAsync("searched layers");
        await page.GetByLabel("K", new() { Exact = true }).FillAsync("3");
        await AskAsync(page, "Hello");
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("TopK is 3; it must be at least 36");
        await Expect(page.GetByLabel("Message", new() { Exact = true })).ToHaveValueAsync("Hello");
    }

    /// <summary>Labels, roles, contrast (axe) and no sideways scrolling, on a desk and on a phone, by day and by night.</summary>
    [Theory]
    [InlineData(1280, 860, ColorScheme.Light)]
    [InlineData(1280, 860, ColorScheme.Dark)]
    [InlineData(390, 844, ColorScheme.Light)]
    [InlineData(390, 844, ColorScheme.Dark)]
    public async Task The_page_can_be_read_by_everyone(int width, int height, ColorScheme scheme)
    {
        (IPage page, ServerFixture server) = await OpenAsync(width, height, scheme);
        await using ServerFixture _ = server;
        await page.GetByLabel("Tokens", new() { Exact = true }).FillAsync("10");
        await page.GetByRole(AriaRole.Button, new() { Name = "Example" }).ClickAsync();
        await Expect(page.GetByLabel("Message", new() { Exact = true })).Not.ToHaveValueAsync("");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await Expect(page.Locator("#layers tbody tr")).ToHaveCountAsync(Layers);
        await EndAsync(page);

        string pictures = Path.Combine(ModelFixture.Root, "build", "page");
        Directory.CreateDirectory(pictures);
        await page.ScreenshotAsync(new() { Path = Path.Combine(pictures, $"{width}-{scheme}.png".ToLowerInvariant()), FullPage = width < 500 });
        AxeResult result = await page.RunAxe();
        Assert.Empty(result.Violations.Select(violation =>
            $"{violation.Id}: {string.Join("; ", violation.Nodes.Take(3).Select(node => $"{node.Html} {node.Any?.FirstOrDefault()?.Message}"))}"));
        Assert.True(
            await page.EvaluateAsync<bool>("() => document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen");
        Assert.Empty(_complaints);
    }

    private async Task<(IPage Page, ServerFixture Server)> OpenAsync(
        int width = 1280, int height = 860, ColorScheme scheme = ColorScheme.Light, ServerOptions? options = null)
    {
        IPage page = await browser.OpenAsync(width, height, scheme);
        ServerFixture server = await ServerFixture.StartAsync(fixture, options);
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
            {
                _complaints.Add(message.Text);
            }
        };
        page.PageError += (_, error) => _complaints.Add(error);
        page.RequestFailed += (_, request) =>
        {
            if (request.Failure != "net::ERR_ABORTED")
            {
                _complaints.Add($"{request.Url} {request.Failure}");
            }
        };
        await page.GotoAsync(server.Client.BaseAddress!.ToString());
        return (page, server);
    }

    private static async Task AskAsync(IPage page, string question)
    {
        await page.GetByLabel("Message", new() { Exact = true }).FillAsync(question);
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await EndAsync(page);
    }

    private static async Task EndAsync(IPage page)
    {
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Send" })).ToBeEnabledAsync();
        await page.EvaluateAsync("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))");
    }
}
