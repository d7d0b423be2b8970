using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Channels;

namespace AnnRuntime.Native;

/// <summary>Carries messages from native threads to one managed reader.</summary>
/// <remarks>
/// The callback only copies the text into a bounded channel; user code runs on the thread pool. When the reader is
/// slower than the library, the newest messages are dropped and counted.
/// </remarks>
internal static class NativeLog
{
    /// <summary>Messages kept for a slow reader.</summary>
    private const int Capacity = 4096;

    private const int LevelContinue = 5;

    private static readonly Lock Gate = new();
    private static readonly Lock PendingGate = new();
    private static readonly StringBuilder Pending = new();
    private static int _pendingLevel;
    private static Channel<NativeLogRecord>? _channel;
    private static Task _reader = Task.CompletedTask;
    private static long _dropped;

    /// <summary>Messages lost to a full channel since the start.</summary>
    public static long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Sends messages to <paramref name="handler"/>; null silences the library.</summary>
    public static unsafe void Set(Action<NativeLogRecord>? handler)
    {
        NativeLibraryLoader.EnsureLoaded();
        lock (Gate)
        {
            NativeMethods.LogSet(null, null);
            _channel?.Writer.TryComplete();
            _channel = null;
            if (handler is null)
            {
                return;
            }

            var channel = Channel.CreateBounded<NativeLogRecord>(
                new BoundedChannelOptions(Capacity) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
            _reader = Task.Run(() => ReadAsync(channel.Reader, handler));
            Volatile.Write(ref _channel, channel);
            NativeMethods.LogSet(&OnMessage, null);
        }
    }

    /// <summary>Ends the current handler after it has seen every message so far.</summary>
    public static async Task FlushAsync()
    {
        Set(null);
        await _reader.ConfigureAwait(false);
    }

    private static async Task ReadAsync(ChannelReader<NativeLogRecord> reader, Action<NativeLogRecord> handler)
    {
        await foreach (NativeLogRecord record in reader.ReadAllAsync().ConfigureAwait(false))
        {
            try
            {
                handler(record);
            }
            catch (Exception)
            {
                // a logger that throws must not end the log
            }
        }
    }

    [UnmanagedCallersOnly]
    private static unsafe void OnMessage(int level, byte* text, void* userData)
    {
        try
        {
            string piece = Marshal.PtrToStringUTF8((nint)text) ?? "";
            lock (PendingGate)
            {
                Append(level, piece);
            }
        }
        catch (Exception)
        {
            // nothing may cross into the native thread
        }
    }

    // joins the pieces of one line; a new message ends an unfinished one
    private static void Append(int level, string piece)
    {
        if (level != LevelContinue)
        {
            Flush();
            _pendingLevel = level;
        }

        Pending.Append(piece);
        if (piece.EndsWith('\n'))
        {
            Flush();
        }
    }

    private static void Flush()
    {
        if (Pending.Length == 0)
        {
            return;
        }

        string line = Pending.ToString().TrimEnd('\r', '\n');
        Pending.Clear();
        Channel<NativeLogRecord>? channel = Volatile.Read(ref _channel);
        if (line.Length > 0 && channel is not null && !channel.Writer.TryWrite(new NativeLogRecord(_pendingLevel, line)))
        {
            Interlocked.Increment(ref _dropped);
        }
    }
}
