using System.Text;

namespace AnnRuntime.Native;

/// <summary>What the library says of itself.</summary>
internal static unsafe class NativeRuntime
{
    /// <summary>The ABI version that these bindings were written for.</summary>
    public const uint AbiVersion = 1;

    /// <summary>JSON of every struct's size and offsets.</summary>
    public static string DescribeAbi()
    {
        NativeLibraryLoader.EnsureLoaded();
        byte* text = NativeMethods.AbiDescribe();
        int length = 0;
        while (text[length] != 0)
        {
            length++;
        }

        return Encoding.UTF8.GetString(text, length);
    }

    /// <summary>Loads the compute backends beside the library, then returns JSON of versions, devices and CPU features.</summary>
    public static string GetInfo()
    {
        NativeLibraryLoader.EnsureLoaded();
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.RuntimeInit(null, ref error), in error);
        return NativeText.Read((byte* buffer, nuint capacity, nuint* written, ref AnnError failed) =>
            NativeMethods.RuntimeInfo(buffer, capacity, written, ref failed));
    }

    /// <summary>From which depth on the index is the faster search; 0 takes a default.</summary>
    public static AnnIndexCalibration Calibrate(int dimensions, string type, int threads, int topK, int efSearch, bool again)
    {
        NativeLibraryLoader.EnsureLoaded();
        var calibration = new AnnIndexCalibration
        {
            StructSize = (uint)sizeof(AnnIndexCalibration),
            NEmbdSearch = dimensions,
            NThreads = threads,
            TopK = topK,
            EfSearch = efSearch,
            MeasureAgain = again ? 1 : 0,
        };
        calibration.SetType(type);
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.IndexCalibrate(ref calibration, ref error), in error);
        return calibration;
    }

    /// <summary>Where calibrations are kept; empty when they are not.</summary>
    public static string GetCalibrationFile()
    {
        NativeLibraryLoader.EnsureLoaded();
        return NativeText.Read((byte* buffer, nuint capacity, nuint* written, ref AnnError error) =>
            NativeMethods.IndexCalibrationFile(buffer, capacity, written, ref error));
    }

    /// <summary>Sets where calibrations are kept: null the default, empty nowhere.</summary>
    public static void SetCalibrationFile(string? path)
    {
        NativeLibraryLoader.EnsureLoaded();
        AnnError error = AnnError.New();
        fixed (byte* text = path is null ? null : NativeText.ToZeroTerminated(path, nameof(path)))
        {
            NativeCall.ThrowIfFailed(NativeMethods.IndexSetCalibrationFile(text, ref error), in error);
        }
    }

    /// <summary>GBNF of a JSON schema.</summary>
    public static string JsonSchemaToGrammar(string schema)
    {
        NativeLibraryLoader.EnsureLoaded();
        byte[] utf8 = NativeText.ToZeroTerminated(schema, nameof(schema));
        return NativeText.Read((byte* buffer, nuint capacity, nuint* written, ref AnnError error) =>
        {
            fixed (byte* source = utf8)
            {
                return NativeMethods.JsonSchemaToGrammar(source, buffer, capacity, written, ref error);
            }
        });
    }
}
