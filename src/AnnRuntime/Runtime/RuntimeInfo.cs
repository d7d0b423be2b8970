using System.Text.Json;
using System.Text.Json.Serialization;
using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Versions, devices and CPU features of the native library.</summary>
public sealed record RuntimeInfo
{
    /// <summary>Version of the native library.</summary>
    public string Version { get; init; } = "";

    /// <summary>Version of its C ABI.</summary>
    public int Abi { get; init; }

    /// <summary>Version of llama.cpp.</summary>
    public string LlamaCpp { get; init; } = "";

    /// <summary>Commit of llama.cpp.</summary>
    public string LlamaCppCommit { get; init; } = "";

    /// <summary>Such as Release.</summary>
    public string BuildType { get; init; } = "";

    /// <summary>The C++ compiler.</summary>
    public string Compiler { get; init; } = "";

    /// <summary>Loaded backends and their devices.</summary>
    public IReadOnlyList<BackendInfo> Backends { get; init; } = [];

    /// <summary>Features of the CPU backend: name and 1, or a number.</summary>
    public IReadOnlyDictionary<string, int> Cpu { get; init; } = new Dictionary<string, int>();

    /// <summary>The variant of the CPU backend that was chosen, empty where there is only one.</summary>
    public string CpuVariant { get; init; } = "";

    /// <summary>The ABI version that this assembly needs.</summary>
    [JsonIgnore]
    public static int NeededAbi => (int)NativeRuntime.AbiVersion;

    /// <summary>Such as linux-x64.</summary>
    [JsonIgnore]
    public static string RuntimeIdentifier => NativeLibraryLoader.RuntimeIdentifier;

    /// <summary>The variable that names a directory to look for the native library first.</summary>
    [JsonIgnore]
    public static string DirectoryVariable => NativeLibraryLoader.DirectoryVariable;

    /// <summary>The file that the native library was loaded from; null before.</summary>
    [JsonIgnore]
    public static string? LibraryPath => NativeLibraryLoader.LoadedPath;

    /// <summary>The paths that are tried for the native library, in order.</summary>
    [JsonIgnore]
    public static IReadOnlyList<string> LibraryCandidates => NativeLibraryLoader.DefaultCandidates();

    /// <summary>Loads the native library and its backends, and asks them.</summary>
    /// <exception cref="NativeLibraryException">The library cannot be loaded.</exception>
    public static RuntimeInfo Get() =>
        JsonSerializer.Deserialize(NativeRuntime.GetInfo(), AnnJsonContext.Default.RuntimeInfo)
        ?? throw new AnnRuntimeException("The native library described itself as null.");
}
