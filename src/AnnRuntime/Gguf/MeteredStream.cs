namespace AnnRuntime.Gguf;

/// <summary>Passes writes on, counts them, reports progress, and stops at a limit or when cancelled.</summary>
internal sealed class MeteredStream(
    Stream destination, long total, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) : Stream
{
    private const int ReportBytes = 1 << 20;

    private long _limit = long.MaxValue;
    private string _limitName = "";
    private long _reported;

    /// <summary>Bytes passed on so far.</summary>
    public long Written { get; private set; }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>No write may pass <paramref name="end"/>, which is where <paramref name="name"/> ends.</summary>
    public void Limit(long end, string name) => (_limit, _limitName) = (end, name);

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (buffer.Length > _limit - Written)
        {
            throw new InvalidOperationException($"The source of tensor {_limitName} wrote past the tensor's end.");
        }

        destination.Write(buffer);
        Written += buffer.Length;
        if (Written - _reported >= ReportBytes || Written == total)
        {
            _reported = Written;
            progress?.Report(new ByteProgress(Written, total));
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush() => destination.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
