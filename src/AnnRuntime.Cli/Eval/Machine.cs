namespace AnnRuntime.Cli;

/// <summary>What times depend on, in words.</summary>
internal static class Machine
{
    /// <summary>Processor, its variant of the library, threads.</summary>
    /// <param name="threads">As asked for; 0: the library decides.</param>
    public static string Describe(int threads)
    {
        RuntimeInfo runtime = RuntimeInfo.Get();
        string cpu = runtime.Backends.SelectMany(backend => backend.Devices).FirstOrDefault(device => device.Type == "cpu")?.Description
            ?? "unknown CPU";
        return $"{cpu} ({runtime.CpuVariant}), {(threads == 0 ? "default" : threads)} threads";
    }
}
