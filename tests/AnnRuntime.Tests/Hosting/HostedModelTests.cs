using AnnRuntime.Hosting;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Xunit;

namespace AnnRuntime.Tests.Hosting;

/// <summary>A model in a host: configuration, start, keyed services, health, drain.</summary>
public sealed class HostedModelTests : IAsyncDisposable
{
    private readonly HostApplicationBuilder _builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
    private readonly LogLines _log = new();
    private IHost? _host;

    [Fact]
    public async Task A_host_that_has_started_has_a_warm_model_and_says_so()
    {
        Configure("main", ("ModelPath", ModelFixture.ModelPath), ("ContextLength", "512"), ("mode", "dense"), ("KeyType", "q8_0"));
        IServiceProvider services = await StartAsync(all => all.AddAnnRuntime("main", options => options.MaxSequences = 2));

        var engine = services.GetRequiredKeyedService<GenerationEngine>("main");
        Assert.Equal(512, engine.SequenceLength);
        Assert.Equal(2, engine.Options.Context.MaxSequences);
        Assert.Equal(SearchMode.Dense, engine.Search.Mode);
        Assert.Equal(CacheType.Q8_0, engine.Options.Context.KeyType);
        Assert.Same(engine.Model, services.GetRequiredKeyedService<AnnModel>("main"));
        Assert.Same(engine, services.GetRequiredService<GenerationEngine>());
        ChatResponse answer = await services.GetRequiredKeyedService<IChatClient>("main").GetResponseAsync(
            "Hello", new() { MaxOutputTokens = 3, Temperature = 0 });
        Assert.Equal(3, answer.Usage!.OutputTokenCount);
        // the warm-up is no request and leaves no cells
        Assert.Equal(1, engine.GetMetrics().Requests);
        Assert.Equal(0, answer.Usage.CachedInputTokenCount);
        Assert.Collection(
            _log.Of("AnnRuntime.Hosting"),
            line => Assert.Equal($"main: loading {ModelFixture.ModelPath}", line),
            line => Assert.Matches("^main: loaded in .* 512 cells, 2 answers at once, search Dense", line),
            line => Assert.StartsWith("main: warm after", line));
    }

    [Fact]
    public async Task Two_models_have_a_key_each()
    {
        Configure("long", ("ModelPath", ModelFixture.ModelPath), ("ContextLength", "1024"));
        Configure("short", ("ModelPath", ModelFixture.ModelPath), ("ContextLength", "256"), ("WarmUp", "false"));
        IServiceProvider services = await StartAsync(all => all.AddAnnRuntime("long").AddAnnRuntime("short"));

        var large = services.GetRequiredKeyedService<GenerationEngine>("long");
        var small = services.GetRequiredKeyedService<GenerationEngine>("short");
        Assert.Equal((1024, 256), (large.SequenceLength, small.SequenceLength));
        Assert.NotSame(large.Model, small.Model);
        Assert.Same(small, services.GetRequiredKeyedService<IChatClient>("short").GetService<GenerationEngine>());
        Assert.Same(large, services.GetRequiredService<IChatClient>().GetService<GenerationEngine>());
    }

    [Fact]
    public async Task Wrong_options_are_all_told_and_nothing_starts()
    {
        Configure("main", ("ModelPath", "missing.gguf"), ("TopK", "0"), ("MaxSequences", "300"), ("DrainTimeout", "-00:00:01"));
        OptionsValidationException exception = await Assert.ThrowsAsync<OptionsValidationException>(
            () => StartAsync(all => all.AddAnnRuntime("main")));
        Assert.Equal(4, exception.Failures.Count());
        Assert.All(exception.Failures, failure => Assert.StartsWith("AnnRuntime:main: ", failure));
        Assert.Contains("'missing.gguf', which is no file", exception.Message);
        Assert.Contains("AnnRuntime:main: TopK is 0; it must be at least 1.", exception.Failures);
        Assert.Contains("AnnRuntime:main: MaxSequences is 300; it must be in 1..256.", exception.Failures);
        Assert.Contains("DrainTimeout is -00:00:01", exception.Message);
        Assert.Empty(_log.Of("AnnRuntime.Hosting"));
    }

    [Theory]
    [InlineData("TopKK", "5", "TopKK")]
    [InlineData("TopK", "many", "AnnRuntime:main:TopK")]
    [InlineData("Mode", "fast", "AnnRuntime:main:Mode")]
    [InlineData("UbatchSize", "4", "UbatchSize 4 must both exceed MaxSequences 4")]
    [InlineData("ModelPath", "", "ModelPath is missing")]
    public async Task A_wrong_setting_is_named(string key, string value, string named)
    {
        Configure("main", ("ModelPath", ModelFixture.ModelPath));
        Configure("main", (key, value));
        Exception exception = await Assert.ThrowsAnyAsync<Exception>(() => StartAsync(all => all.AddAnnRuntime("main")));
        Assert.Contains(named, exception.Message);
    }

    [Fact]
    public async Task A_file_that_is_no_model_ends_the_start()
    {
        using var file = new TemporaryFile("GGUF no more"u8.ToArray());
        Configure("main", ("ModelPath", file.Path));
        await Assert.ThrowsAsync<InvalidModelException>(() => StartAsync(all => all.AddAnnRuntime("main")));
        Assert.Contains(_log.Of("AnnRuntime.Hosting"), line => line.Contains("main: cannot be loaded", StringComparison.Ordinal));
        HealthReport report = await Checks().CheckHealthAsync();
        Assert.Equal(HealthStatus.Unhealthy, report.Status);
        Assert.Contains("main cannot be loaded", report.Entries["AnnRuntime:main"].Description);
    }

    [Fact]
    public async Task Names_are_used_once()
    {
        var services = new ServiceCollection();
        services.AddAnnRuntime("main");
        Assert.Throws<ArgumentException>(() => services.AddAnnRuntime(" "));
        ArgumentException exception = Assert.Throws<ArgumentException>(() => services.AddAnnRuntime("main"));
        Assert.Contains("'main'", exception.Message);

        // without a configuration and without a host, code alone sets the options and the first to ask loads
        services.Configure<AnnRuntimeOptions>("main", options =>
        {
            options.ModelPath = ModelFixture.ModelPath;
            options.ContextLength = 256;
        });
        await using ServiceProvider provider = services.BuildServiceProvider();
        Assert.Equal(256, provider.GetRequiredService<GenerationEngine>().SequenceLength);
    }

    [Fact]
    public async Task A_stopping_host_waits_for_answers_and_takes_no_more()
    {
        Configure("main", ("ModelPath", ModelFixture.ModelPath), ("ContextLength", "512"), ("QueueLimit", "0"), ("MaxSequences", "1"));
        IServiceProvider services = await StartAsync(all => all.AddAnnRuntime("main"));
        var engine = services.GetRequiredService<GenerationEngine>();
        Assert.Equal(HealthStatus.Healthy, (await Checks().CheckHealthAsync()).Status);

        AnnRuntime.Generation running = engine.Submit(Endless(60));
        Assert.Equal(HealthStatus.Degraded, (await Checks().CheckHealthAsync()).Status);
        Task stopping = _host!.StopAsync();
        Assert.True(SpinWait.SpinUntil(() => engine.IsDraining, TimeSpan.FromSeconds(10)));
        Assert.Throws<EngineBusyException>(() => engine.Submit(Endless(1)));
        Assert.Equal(HealthStatus.Unhealthy, (await Checks().CheckHealthAsync()).Status);
        await stopping;

        Assert.True(running.Result.IsCompletedSuccessfully);
        Assert.Equal(60, (await running.Result).Tokens.Count);
    }

    [Fact]
    public async Task An_answer_that_takes_too_long_is_cut_off_and_told()
    {
        Configure("main", ("ModelPath", ModelFixture.ModelPath), ("ContextLength", "4096"), ("DrainTimeout", "00:00:00"));
        IServiceProvider services = await StartAsync(all => all.AddAnnRuntime("main"));
        AnnRuntime.Generation running = services.GetRequiredService<GenerationEngine>().Submit(Endless(4000));
        await _host!.StopAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => running.Result);
        Assert.Contains(_log.Of("AnnRuntime.Hosting"), line => line.Contains("1 requests were cut off", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Serilog_reads_the_settings()
    {
        TextWriter console = Console.Out;
        using var output = new StringWriter();
        Console.SetOut(output);
        try
        {
            _builder.Configuration.AddInMemoryCollection([new("Serilog:MinimumLevel:Override:Quiet", "Warning")]);
            _builder.AddSerilogFromSettings();
            using IHost host = _builder.Build();
            var factory = host.Services.GetRequiredService<ILoggerFactory>();
            factory.CreateLogger("Quiet").LogInformation("not written");
            factory.CreateLogger("Loud").LogInformation("written");
        }
        finally
        {
            Console.SetOut(console);
        }

        Assert.Contains("written", output.ToString());
        Assert.DoesNotContain("not written", output.ToString());
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is IAsyncDisposable host)
        {
            await host.DisposeAsync();
        }
    }

    private static GenerationRequest Endless(int tokens) => new()
    {
        Prompt = [5, 6, 7],
        Options = new GenerationOptions { MaxTokens = tokens, IgnoreEndOfGeneration = true, Sampling = SamplingOptions.Greedy },
    };

    private HealthCheckService Checks() => _host!.Services.GetRequiredService<HealthCheckService>();

    private void Configure(string name, params (string Key, string Value)[] settings) =>
        _builder.Configuration.AddInMemoryCollection(
            settings.Select(setting => KeyValuePair.Create($"AnnRuntime:{name}:{setting.Key}", (string?)setting.Value)));

    private async Task<IServiceProvider> StartAsync(Action<IServiceCollection> add)
    {
        _builder.Logging.AddProvider(_log);
        add(_builder.Services);
        _builder.Services.AddHealthChecks().AddAnnRuntime("main");
        _host = _builder.Build();
        await _host.StartAsync();
        return _host.Services;
    }
}
