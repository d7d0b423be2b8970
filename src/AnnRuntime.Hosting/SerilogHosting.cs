using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Serilog;

namespace AnnRuntime.Hosting;

/// <summary>Serilog as an application's settings say.</summary>
public static class SerilogHosting
{
    /// <summary>
    /// Sends the host's messages through Serilog, configured by the section <c>Serilog</c> of its configuration. A section
    /// that names no sink, or none, writes to the console.
    /// </summary>
    /// <remarks>
    /// The settings name sinks and their parameters, which are found by reflection. A program that is trimmed or compiled
    /// ahead of time sets them in code instead: <c>services.AddSerilog(logger => logger.WriteTo.Console())</c>.
    /// </remarks>
    /// <param name="builder">The host's builder.</param>
    /// <returns>The builder.</returns>
    [RequiresUnreferencedCode("Sinks and their parameters are found by the names in the settings; set them in code instead.")]
    [RequiresDynamicCode("Sinks and their parameters are found by the names in the settings; set them in code instead.")]
    public static TBuilder AddSerilogFromSettings<TBuilder>(this TBuilder builder)
        where TBuilder : IHostApplicationBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddSerilog((services, logger) =>
        {
            logger.ReadFrom.Configuration(builder.Configuration).ReadFrom.Services(services);
            if (!builder.Configuration.GetSection("Serilog:WriteTo").Exists())
            {
                logger.WriteTo.Console(formatProvider: System.Globalization.CultureInfo.InvariantCulture);
            }
        });
        return builder;
    }
}
