using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>From which depth on a search by index is faster than exact search on this machine: what mode auto goes by.</summary>
/// <param name="Dimensions">Values of a search key.</param>
/// <param name="SearchKeyType">Format of the search keys.</param>
/// <param name="Threads">Threads of both searches.</param>
/// <param name="TopK">Cells found.</param>
/// <param name="EfSearch">Cells that the index keeps in view.</param>
/// <param name="MinContext">Cells from which on the index is faster; null when nowhere below 2^24 cells.</param>
/// <param name="MeasuredCells">Cells at which the following two were measured.</param>
/// <param name="ExactTime">Of a query by exact search.</param>
/// <param name="IndexTime">Of a query by the index.</param>
/// <param name="MeasuredAt">When it was measured.</param>
/// <param name="FromFile">Whether an earlier process measured it (<see cref="File"/>).</param>
/// <param name="IsKept">Whether it is in that file for later ones.</param>
public sealed record IndexCalibration(
    int Dimensions, CacheType SearchKeyType, int Threads, int TopK, int EfSearch, int? MinContext, int MeasuredCells,
    TimeSpan ExactTime, TimeSpan IndexTime, DateTimeOffset MeasuredAt, bool FromFile, bool IsKept)
{
    /// <summary>
    /// The file that keeps measurements for later processes on this machine; null when they are not kept. Default: the
    /// environment's <c>ANN_CALIBRATION_FILE</c> as it was when the process began (<c>off</c>: null), else
    /// <c>ann-runtime/calibration.json</c> in the user's folder of caches. It is checked when read; a damaged one is replaced.
    /// </summary>
    /// <remarks>Setting it forgets what this process has measured. Contexts that exist keep their depth.</remarks>
    /// <exception cref="ArgumentException">An empty path, or one that holds a zero character.</exception>
    public static string? File
    {
        get => NativeRuntime.GetCalibrationFile() is { Length: > 0 } path ? path : null;
        set
        {
            if (value is not null)
            {
                ArgumentException.ThrowIfNullOrWhiteSpace(value);
            }

            NativeRuntime.SetCalibrationFile(value is null ? "" : Path.GetFullPath(value));
        }
    }

    /// <summary>
    /// Measures on synthetic keys, which takes about a second, or returns what this process or an earlier one has measured with
    /// the same processor, library and arguments.
    /// </summary>
    /// <param name="dimensions">Values of a search key, a multiple of 32 in 32..1024.</param>
    /// <param name="searchKeyType">F16, F32 or Q8_0. Default F16.</param>
    /// <param name="threads">Default 0: physical cores.</param>
    /// <param name="topK">Cells found. Default 128.</param>
    /// <param name="efSearch">Cells kept in view. Default null: that of <see cref="SearchOptions.EfSearch"/>.</param>
    /// <param name="again">True measures whatever is known already. Default false.</param>
    /// <exception cref="ArgumentException">A value out of its range.</exception>
    public static IndexCalibration Measure(
        int dimensions, CacheType searchKeyType = CacheType.F16, int threads = 0, int topK = 128, int? efSearch = null,
        bool again = false)
    {
        AnnIndexCalibration native = NativeRuntime.Calibrate(
            dimensions, searchKeyType.ToString().ToLowerInvariant(), threads, topK, efSearch ?? 0, again);
        return new IndexCalibration(
            native.NEmbdSearch, searchKeyType, native.NThreads, native.TopK, native.EfSearch,
            native.MinContext == int.MaxValue ? null : native.MinContext, native.NCells,
            LayerRetrieval.Duration((ulong)native.ExactNs), LayerRetrieval.Duration((ulong)native.HnswNs),
            DateTimeOffset.FromUnixTimeSeconds(native.MeasuredAt), native.FromFile != 0, native.IsKept != 0);
    }
}
