using AnnRuntime.Native;
using Xunit;

namespace AnnRuntime.Tests.Native;

public sealed class NativeLibraryLoaderTests
{
    [Fact]
    public void Candidates_come_in_the_documented_order()
    {
        string checkout = Directory.CreateTempSubdirectory("ann-loader-").FullName;
        try
        {
            string include = Path.Combine(checkout, "native", "include");
            Directory.CreateDirectory(include);
            File.WriteAllText(Path.Combine(include, "ann-runtime.h"), "");
            string program = Path.Combine(checkout, "a", "b");

            IReadOnlyList<string> paths = NativeLibraryLoader.Candidates("/own", program, "linux-x64", "libx.so");

            Assert.Equal(
                [
                    "/own/libx.so",
                    Path.Combine(program, "libx.so"),
                    Path.Combine(program, "runtimes/linux-x64/native/libx.so"),
                    Path.Combine(checkout, "build/cpu/bin/libx.so"),
                ],
                paths);
        }
        finally
        {
            Directory.Delete(checkout, recursive: true);
        }
    }

    [Fact]
    public void Without_a_variable_and_a_checkout_two_paths_remain()
    {
        Assert.Equal(
            ["/program/libx.so", "/program/runtimes/linux-arm64/native/libx.so"],
            NativeLibraryLoader.Candidates(null, "/program", "linux-arm64", "libx.so"));
    }

    [Fact]
    public void A_failure_lists_every_path_with_its_reason()
    {
        using var text = new TemporaryFile(System.Text.Encoding.ASCII.GetBytes(new string('x', 4096)), ".so");
        string missing = Path.Combine(Path.GetTempPath(), "ann-missing", "libann-runtime.so");

        var exception = Assert.Throws<NativeLibraryException>(() => NativeLibraryLoader.LoadFirst([missing, text.Path]));

        Assert.Contains($"{missing}: no such file", exception.Message);
        Assert.Contains($"{text.Path}: ", exception.Message);
        Assert.Contains("invalid ELF header", exception.Message);
        Assert.Contains(NativeLibraryLoader.DirectoryVariable, exception.Message);
    }

    [Fact]
    public void A_foreign_library_is_refused_by_its_missing_function()
    {
        string foreign = Path.Combine(
            System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "libSystem.Native.so");

        var exception = Assert.Throws<NativeLibraryException>(() => NativeLibraryLoader.LoadFirst([foreign]));

        Assert.Contains("it has no function", exception.Message);
    }
}
