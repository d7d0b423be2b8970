using Microsoft.Playwright;
using Xunit;

namespace AnnRuntime.Tests.Server;

/// <summary>The Chromium of this machine, started once for a class of tests. Nothing is downloaded.</summary>
public sealed class Browser : IAsyncLifetime
{
    private static readonly string[] Places =
    [
        "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/usr/bin/chromium-headless-shell",
    ];

    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public async ValueTask InitializeAsync()
    {
        string? path = new[] { Environment.GetEnvironmentVariable("ANN_CHROMIUM") }.Concat(Places).FirstOrDefault(File.Exists);
        if (path is not null)
        {
            Assertions.SetDefaultExpectTimeout(60_000); // the machine may be busy
            _playwright = await Playwright.CreateAsync();
            _browser = await _playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
            {
                ExecutablePath = path,
                ChromiumSandbox = false, // root has none
            });
        }
    }

    /// <summary>A page of a browser window. Skips the test where there is no Chromium.</summary>
    public async Task<IPage> OpenAsync(int width, int height, ColorScheme scheme)
    {
        Assert.SkipWhen(
            _browser is null,
            "The page was not tested: no Chromium is installed. Debian: apt-get install chromium. Elsewhere: ANN_CHROMIUM=PATH.");
        IPage page = await _browser!.NewPageAsync(new BrowserNewPageOptions
        {
            ViewportSize = new ViewportSize { Width = width, Height = height },
            ColorScheme = scheme,
        });
        page.SetDefaultTimeout(60_000);
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.DisposeAsync();
        }

        _playwright?.Dispose();
    }
}
