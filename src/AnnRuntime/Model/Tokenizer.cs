using AnnRuntime.Native;

namespace AnnRuntime;

/// <summary>Text to tokens and back. Any number of threads may use it.</summary>
public sealed class Tokenizer
{
    /// <summary>Bytes that a piece seldom exceeds.</summary>
    private const int PieceCapacity = 128;

    private readonly AnnModel _model;

    internal Tokenizer(AnnModel model) => _model = model;

    /// <summary>The token that begins a text, null where the vocabulary has none.</summary>
    public int? BeginToken => NullIfNegative(_model.Handle.BeginToken);

    /// <summary>The token that ends a text, null where the vocabulary has none.</summary>
    public int? EndToken => NullIfNegative(_model.Handle.EndToken);

    /// <summary>Tokens of a text.</summary>
    /// <param name="text">Any text, also an empty one.</param>
    /// <param name="addSpecial">Adds the tokens that the model wants at the start and end of a text. Default true.</param>
    /// <param name="parseSpecial">Recognises special tokens written in the text. Default true.</param>
    /// <exception cref="ArgumentException">An unpaired surrogate.</exception>
    public int[] Tokenize(string text, bool addSpecial = true, bool parseSpecial = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        return _model.Handle.Tokenize(NativeText.ToUtf8(text, nameof(text)), addSpecial, parseSpecial);
    }

    /// <summary>Tokens of UTF-8 text.</summary>
    /// <param name="utf8">UTF-8 bytes, also none.</param>
    /// <param name="addSpecial">Adds the tokens that the model wants at the start and end of a text. Default true.</param>
    /// <param name="parseSpecial">Recognises special tokens written in the text. Default true.</param>
    /// <exception cref="ArgumentException">Invalid UTF-8; the message names the offset of the byte.</exception>
    public int[] Tokenize(ReadOnlySpan<byte> utf8, bool addSpecial = true, bool parseSpecial = true) =>
        _model.Handle.Tokenize(utf8, addSpecial, parseSpecial);

    /// <summary>Text of tokens; bytes that are no UTF-8 become U+FFFD.</summary>
    /// <param name="tokens">Tokens of the vocabulary.</param>
    /// <param name="special">Writes special tokens as text. Default false: they are left out.</param>
    /// <exception cref="ArgumentException">A token that is not in the vocabulary.</exception>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special = false)
    {
        var decoder = new TokenDecoder();
        var text = new System.Text.StringBuilder();
        foreach (int token in tokens)
        {
            text.Append(decoder.Append(GetBytes(token, special)));
        }

        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>Raw bytes of one token, which may be part of a character.</summary>
    /// <param name="token">A token of the vocabulary.</param>
    /// <param name="special">Writes a special token as text. Default false: it has no bytes.</param>
    /// <exception cref="ArgumentException">The token is not in the vocabulary.</exception>
    public byte[] GetBytes(int token, bool special = false)
    {
        Span<byte> buffer = stackalloc byte[PieceCapacity];
        int length = _model.Handle.TokenToPiece(token, special, buffer);
        if (length <= buffer.Length)
        {
            return buffer[..length].ToArray();
        }

        byte[] longer = new byte[length + 1];
        length = _model.Handle.TokenToPiece(token, special, longer);
        return longer[..length];
    }

    /// <summary>Whether a token ends a generation: end of sequence or end of turn. False for an unknown token.</summary>
    public bool IsEndOfGeneration(int token) => _model.Handle.IsEndOfGeneration(token);

    private static int? NullIfNegative(int token) => token < 0 ? null : token;
}
