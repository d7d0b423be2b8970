using AnnRuntime.Extensions.AI;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace AnnRuntime.Hosting;

/// <summary>Models as services of a host.</summary>
public static class AnnRuntimeServices
{
    /// <summary>The section of the configuration that has a section for each name.</summary>
    public const string Section = "AnnRuntime";

    /// <summary>
    /// Adds a model with its engines: <see cref="AnnModel"/>, <see cref="GenerationEngine"/>, <see cref="IChatClient"/>,
    /// <see cref="EmbeddingEngine"/> and <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> under the key
    /// <paramref name="name"/>. Those of the first name are also there without a key.
    /// </summary>
    /// <remarks>
    /// Options come from the section <c>AnnRuntime:NAME</c>, then from <paramref name="configure"/>. A host that starts
    /// refuses wrong ones and unknown members with an exception, loads the model and warms it up before anything else
    /// starts; one that stops takes no more requests and waits for the running ones. Whoever asks for a service
    /// earlier waits until the model is loaded. The context of embeddings is created when they are first asked for.
    /// </remarks>
    /// <param name="services">The services.</param>
    /// <param name="name">The key, not empty and used once.</param>
    /// <param name="configure">Sets options, after the configuration. Default none.</param>
    /// <exception cref="ArgumentException">The name is empty or taken.</exception>
    public static IServiceCollection AddAnnRuntime(
        this IServiceCollection services, string name, Action<AnnRuntimeOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (services.Any(service => service.ServiceType == typeof(HostedModel) && name.Equals(service.ServiceKey)))
        {
            throw new ArgumentException($"The name is '{name}', under which a model was added already; each needs a name of its own.", nameof(name));
        }

        services.AddLogging();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<AnnRuntimeOptions>, AnnRuntimeOptionsValidator>());
        OptionsBuilder<AnnRuntimeOptions> options = services.AddOptions<AnnRuntimeOptions>(name).ValidateOnStart();
        options.Configure<IServiceProvider>((bound, provider) => provider.GetService<IConfiguration>()
            ?.GetSection(Section).GetSection(name).Bind(bound, binder => binder.ErrorOnUnknownConfiguration = true));
        if (configure is not null)
        {
            options.Configure(configure);
        }

        services.AddKeyedSingleton(name, (provider, _) => new HostedModel(
            name, provider.GetRequiredService<IOptionsMonitor<AnnRuntimeOptions>>(), provider.GetRequiredService<ILoggerFactory>()));
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredKeyedService<HostedModel>(name));
        services.AddKeyedSingleton(name, (provider, _) => provider.GetRequiredKeyedService<HostedModel>(name).Engine);
        services.AddKeyedSingleton(name, (provider, _) => provider.GetRequiredKeyedService<GenerationEngine>(name).Model);
        services.AddKeyedSingleton(name, (provider, _) => provider.GetRequiredKeyedService<GenerationEngine>(name).AsChatClient());
        services.AddKeyedSingleton(name, (provider, _) => new EmbeddingEngine(
            provider.GetRequiredKeyedService<AnnModel>(name),
            provider.GetRequiredService<IOptionsMonitor<AnnRuntimeOptions>>().Get(name).ToEmbeddingOptions()));
        services.AddKeyedSingleton(name, (provider, _) => provider.GetRequiredKeyedService<EmbeddingEngine>(name).AsEmbeddingGenerator());
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<EmbeddingEngine>(name));
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<IEmbeddingGenerator<string, Embedding<float>>>(name));
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<GenerationEngine>(name));
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<AnnModel>(name));
        services.TryAddSingleton(provider => provider.GetRequiredKeyedService<IChatClient>(name));
        return services;
    }

    /// <summary>
    /// Adds a check of a model: unhealthy until it is loaded and while it shuts down, degraded while its queue is full.
    /// </summary>
    /// <param name="builder">What <c>AddHealthChecks</c> returned.</param>
    /// <param name="name">The name that was given to <see cref="AddAnnRuntime(IServiceCollection, string, Action{AnnRuntimeOptions}?)"/>.</param>
    /// <param name="tags">Default: <c>ready</c>.</param>
    public static IHealthChecksBuilder AddAnnRuntime(this IHealthChecksBuilder builder, string name, params IEnumerable<string> tags)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        string[] given = [.. tags];
        return builder.Add(new HealthCheckRegistration(
            $"{Section}:{name}",
            provider => new AnnRuntimeHealthCheck(provider.GetRequiredKeyedService<HostedModel>(name)),
            failureStatus: null,
            given is [] ? ["ready"] : given));
    }
}
