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

    /// <summary>Measures from which depth on the index is the faster search; 0 takes a default.</summary>
    public static AnnIndexCalibration Calibrate(int dimensions, string type, int threads, int topK, int efSearch)
    {
        NativeLibraryLoader.EnsureLoaded();
        var calibration = new AnnIndexCalibration
        {
            StructSize = (uint)sizeof(AnnIndexCalibration),
            NEmbdSearch = dimensions,
            NThreads = threads,
            TopK = topK,
            EfSearch = efSearch,
        };
        calibration.SetType(type);
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.IndexCalibrate(ref calibration, ref error), in error);
        return calibration;
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
