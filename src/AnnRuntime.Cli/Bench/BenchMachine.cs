using System.Diagnostics;
using System.Text.RegularExpressions;

namespace AnnRuntime.Cli;

/// <summary>What a record says of the machine and of the build.</summary>
internal static partial class BenchMachine
{
    /// <summary>The checkout that holds this program; the current directory where there is none.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The columns of a row that tell machine and build.</summary>
    public static BenchRow Describe(RuntimeInfo runtime, int threads)
    {
        DeviceInfo? cpu = Devices(runtime, "cpu").FirstOrDefault();
        string[] gpus = [.. Devices(runtime, "gpu").Select(device => device.Description)];
        string[] backends = [.. runtime.Backends.Select(backend => backend.Name).Where(name => name != "CPU")];
        string cpuInfo = cpu?.Description ?? "unknown CPU";
        var bandwidth = MemoryBandwidth.Measure(threads);
        return new BenchRow
        {
            BuildCommit = Git("describe", "--always", "--dirty", "--abbrev=8", "--exclude=*") ?? "unknown",
            BuildNumber = int.TryParse(Git("rev-list", "--count", "HEAD"), out int number) ? number : 0,
            CpuInfo = cpuInfo,
            GpuInfo = string.Join(", ", gpus),
            Backends = backends is [] ? "CPU" : string.Join(',', backends),
            NThreads = threads,
            Machine = Slug($"{(gpus is [] ? cpuInfo : gpus[0])} {Environment.ProcessorCount}c"),
            MachineMemoryBytes = cpu?.MemoryTotalBytes ?? 0,
            MachineReadBandwidth = (long)bandwidth.ReadBytesPerSecond,
            MachineCopyBandwidth = (long)bandwidth.CopyBytesPerSecond,
            LlamaCpp = $"{runtime.LlamaCpp} {(runtime.LlamaCppCommit is { Length: > 8 } commit ? commit[..8] : runtime.LlamaCppCommit)}",
        };
    }

    /// <summary>A name for a folder: lower case, digits and dashes.</summary>
    public static string Slug(string text) =>
        Separators().Replace(Marks().Replace(text, " ").ToLowerInvariant(), "-").Trim('-');

    /// <summary>Most memory of this process so far, in bytes.</summary>
    public static long PeakRssBytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }

    /// <summary>The command line, quoted for a shell, with files outside the checkout by their names alone.</summary>
    public static string Command(IEnumerable<string> arguments) =>
        string.Join(' ', arguments.Select(argument => Quote(Shorten(argument))).Prepend("./ann"));

    /// <summary>A path inside the checkout from its root, another one by its name alone; other words as they are.</summary>
    public static string Shorten(string argument)
    {
        if (!argument.Contains('/', StringComparison.Ordinal))
        {
            return argument;
        }

        string full = Path.GetFullPath(argument);
        return full.StartsWith(Root + Path.DirectorySeparatorChar, StringComparison.Ordinal)
            ? Path.GetRelativePath(Root, full)
            : Path.GetFileName(full);
    }

    private static IEnumerable<DeviceInfo> Devices(RuntimeInfo runtime, string type) =>
        runtime.Backends.SelectMany(backend => backend.Devices).Where(device => device.Type == type);

    private static string Quote(string word) => Plain().IsMatch(word) ? word : $"'{word.Replace("'", "'\\''")}'";

    private static string? Git(params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("git", arguments)
            {
                WorkingDirectory = Root, RedirectStandardOutput = true, RedirectStandardError = true,
            })!;
            string output = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return process.ExitCode == 0 && output.Length > 0 ? output : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null; // no git
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
        {
            if (File.Exists(Path.Combine(parent.FullName, "AnnRuntime.slnx")))
            {
                return parent.FullName;
            }
        }

        return Directory.GetCurrentDirectory();
    }

    [GeneratedRegex(@"\((R|TM)\)|\bCPU\b|@.*?GHz|\bProcessor\b", RegexOptions.IgnoreCase)]
    private static partial Regex Marks();

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex Separators();

    [GeneratedRegex(@"^[\w./,:=@+-]+$")]
    private static partial Regex Plain();
}
