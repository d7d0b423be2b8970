using System.Text;

namespace AnnRuntime;

/// <summary>Joins the bytes of tokens to text, and never emits part of a character.</summary>
/// <remarks>
/// A character of several bytes may be spread over several tokens: its first bytes are kept until the rest comes.
/// Bytes that cannot become a character are emitted as U+FFFD. Belongs to one thread at a time.
/// </remarks>
public sealed class TokenDecoder
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private char[] _buffer = new char[64];

    /// <summary>Adds the bytes of one token and returns the characters that are complete.</summary>
    /// <param name="piece">Raw bytes, also none.</param>
    public string Append(ReadOnlySpan<byte> piece) => Convert(piece, flush: false);

    /// <summary>Ends the text: bytes that wait for the rest of their character become U+FFFD.</summary>
    public string Flush() => Convert([], flush: true);

    private string Convert(ReadOnlySpan<byte> piece, bool flush)
    {
        int most = Encoding.UTF8.GetMaxCharCount(piece.Length) + 1;
        if (_buffer.Length < most)
        {
            _buffer = new char[most];
        }

        int count = _decoder.GetChars(piece, _buffer, flush);
        return count == 0 ? "" : new string(_buffer, 0, count);
    }
}
