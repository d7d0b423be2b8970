using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace AnnRuntime.Native;

/// <summary>Finds and loads the native library, once. A failure lists every path tried.</summary>
internal static unsafe class NativeLibraryLoader
{
    /// <summary>The name in the import declarations.</summary>
    public const string LibraryName = "ann-runtime";

    /// <summary>The variable that names a directory to look in first.</summary>
    public const string DirectoryVariable = "ANN_RUNTIME_DIR";

    private static readonly Lock Gate = new();
    private static nint _library;
    private static bool _resolves;

    /// <summary>Where the library was loaded from, null before.</summary>
    public static string? LoadedPath { get; private set; }

    /// <summary>The file name on this system.</summary>
    public static string FileName =>
        OperatingSystem.IsWindows() ? "ann-runtime.dll"
        : OperatingSystem.IsMacOS() ? "libann-runtime.dylib"
        : "libann-runtime.so";

    /// <summary>The runtime identifier whose folder is looked into, such as linux-x64.</summary>
    public static string RuntimeIdentifier
    {
        get
        {
            string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
            return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        }
    }

    /// <summary>The paths that are tried here, in order.</summary>
    public static IReadOnlyList<string> DefaultCandidates() => Candidates(
        Environment.GetEnvironmentVariable(DirectoryVariable), AppContext.BaseDirectory, RuntimeIdentifier, FileName);

    /// <summary>The paths to try, in order.</summary>
    /// <param name="directory">The user's own directory, or null.</param>
    /// <param name="baseDirectory">Where the program lies.</param>
    /// <param name="runtimeIdentifier">Such as linux-x64.</param>
    /// <param name="fileName">Such as libann-runtime.so.</param>
    public static IReadOnlyList<string> Candidates(
        string? directory, string baseDirectory, string runtimeIdentifier, string fileName)
    {
        var paths = new List<string>();
        if (!string.IsNullOrEmpty(directory))
        {
            paths.Add(Path.GetFullPath(Path.Combine(directory, fileName)));
        }

        paths.Add(Path.Combine(baseDirectory, fileName));
        paths.Add(Path.Combine(baseDirectory, "runtimes", runtimeIdentifier, "native", fileName));
        for (DirectoryInfo? parent = new(baseDirectory); parent is not null; parent = parent.Parent)
        {
            // a checkout is told by its header, so that no foreign folder named build is searched
            if (File.Exists(Path.Combine(parent.FullName, "native", "include", "ann-runtime.h")))
            {
                paths.Add(Path.Combine(parent.FullName, "build", "cpu", "bin", fileName));
            }
        }

        return paths;
    }

    /// <summary>Loads the library if it is not loaded yet.</summary>
    /// <exception cref="NativeLibraryException">No path works, or the library is of another ABI version.</exception>
    public static void EnsureLoaded()
    {
        if (Volatile.Read(ref _library) != 0)
        {
            return;
        }

        lock (Gate)
        {
            if (_library != 0)
            {
                return;
            }

            (nint library, string path) = LoadFirst(DefaultCandidates());
            if (!_resolves)
            {
                NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLoader).Assembly, Resolve);
                _resolves = true;
            }

            LoadedPath = path;
            Volatile.Write(ref _library, library);
        }
    }

    /// <summary>Loads the first path that holds a library of our ABI version.</summary>
    /// <exception cref="NativeLibraryException">None does; the message lists each path with its reason.</exception>
    internal static (nint Library, string Path) LoadFirst(IReadOnlyList<string> candidates)
    {
        var trace = new StringBuilder();
        foreach (string path in candidates)
        {
            string reason;
            if (!File.Exists(path))
            {
                reason = "no such file";
            }
            else if (TryLoad(path, out nint library, out reason))
            {
                return (library, path);
            }

            trace.Append("\n  ").Append(path).Append(": ").Append(reason);
        }

        throw new NativeLibraryException(
            $"The native library {FileName} cannot be loaded. Set {DirectoryVariable} to the directory that holds it, or "
            + $"build it with 'cmake --workflow --preset cpu'. Tried, in this order:{trace}");
    }

    private static bool TryLoad(string path, out nint library, out string reason)
    {
        try
        {
            library = NativeLibrary.Load(path);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            library = 0;
            reason = exception.Message.ReplaceLineEndings(" ").Trim();
            return false;
        }

        if (!NativeLibrary.TryGetExport(library, "ann_abi_version", out nint export))
        {
            reason = "it has no function ann_abi_version";
        }
        else
        {
            uint version = ((delegate* unmanaged<uint>)export)();
            if (version == NativeRuntime.AbiVersion)
            {
                reason = "";
                return true;
            }

            reason = $"it has ABI version {version}, these bindings need {NativeRuntime.AbiVersion}";
        }

        NativeLibrary.Free(library);
        library = 0;
        return false;
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == LibraryName ? _library : 0;
}
