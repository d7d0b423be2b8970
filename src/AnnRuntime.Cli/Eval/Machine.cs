namespace AnnRuntime.Cli;

/// <summary>What times depend on, in words.</summary>
internal static class Machine
{
    /// <summary>GPUs, processor, its variant of the library, threads.</summary>
    /// <param name="threads">As asked for; 0: the library decides.</param>
    public static string Describe(int threads)
    {
        RuntimeInfo runtime = RuntimeInfo.Get();
        DeviceInfo[] devices = [.. runtime.Backends.SelectMany(backend => backend.Devices)];
        string cpu = devices.FirstOrDefault(device => device.Type == "cpu")?.Description ?? "unknown CPU";
        string gpus = string.Concat(devices.Where(device => device.Type == "gpu").Select(device => device.Description + ", "));
        return $"{gpus}{cpu} ({runtime.CpuVariant}), {(threads == 0 ? "default" : threads)} threads";
    }
}
