using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace AnnRuntime.Cli;

/// <summary>What the memory of this machine gives, the floor of everything that reads a cache.</summary>
/// <param name="ReadBytesPerSecond">Reading alone.</param>
/// <param name="CopyBytesPerSecond">Copying; bytes read and bytes written both count.</param>
internal readonly record struct MemoryBandwidth(double ReadBytesPerSecond, double CopyBytesPerSecond)
{
    private const int BytesPerThread = 128 << 20; // far beyond any cache

    /// <summary>The median of some passes over 128 MiB a thread; takes half a second or so.</summary>
    public static MemoryBandwidth Measure(int threads)
    {
        var buffers = Enumerable.Range(0, threads).Select(_ => new Buffers()).ToArray();
        double read = Median(threads, i => buffers[i].Read());
        double copy = Median(threads, i => buffers[i].Copy());
        return new MemoryBandwidth(read, 2 * copy);
    }

    // bytes per second of all threads together
    private static double Median(int threads, Action<int> pass)
    {
        var seconds = new List<double>();
        for (int repetition = 0; repetition < 6; repetition++)
        {
            long start = Stopwatch.GetTimestamp();
            Thread[] workers = [.. Enumerable.Range(0, threads).Select(i => new Thread(() => pass(i)))];
            Array.ForEach(workers, worker => worker.Start());
            Array.ForEach(workers, worker => worker.Join());
            seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return (double)BytesPerThread * threads / BenchSamples.Median([.. seconds.Skip(1)]); // the first one maps the pages
    }

    private sealed class Buffers
    {
        private readonly byte[] _from = GC.AllocateUninitializedArray<byte>(BytesPerThread);
        private readonly byte[] _to = GC.AllocateUninitializedArray<byte>(BytesPerThread);

        public Buffers()
        {
            _from.AsSpan().Fill(1);
            _to.AsSpan().Fill(2);
        }

        /// <summary>Written so that the reads cannot be left out.</summary>
        public long Sum { get; private set; }

        public void Read()
        {
            ReadOnlySpan<Vector<long>> values = MemoryMarshal.Cast<byte, Vector<long>>(_from);
            Vector<long> a = default, b = default, c = default, d = default;
            for (int i = 0; i + 4 <= values.Length; i += 4)
            {
                a += values[i];
                b += values[i + 1];
                c += values[i + 2];
                d += values[i + 3];
            }

            Sum += Vector.Sum(a + b + c + d);
        }

        public void Copy() => _from.AsSpan().CopyTo(_to);
    }
}
