using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>The flag of every verb that reports.</summary>
internal static class JsonArgument
{
    public static Option<bool> Create() => new("--json")
    {
        Description = "Writes one JSON document to stdout instead of text; everything else goes to stderr.",
    };
}
