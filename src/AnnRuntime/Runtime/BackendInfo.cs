namespace AnnRuntime;

/// <summary>A compute backend that is loaded.</summary>
/// <param name="Name">Such as CPU.</param>
/// <param name="Devices">Its devices.</param>
public sealed record BackendInfo(string Name, IReadOnlyList<DeviceInfo> Devices);
