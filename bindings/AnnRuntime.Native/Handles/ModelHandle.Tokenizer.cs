namespace AnnRuntime.Native;

/// <summary>Text and tokens, chat templates.</summary>
internal sealed unsafe partial class ModelHandle
{
    /// <summary>Tokens of UTF-8 text.</summary>
    public int[] Tokenize(ReadOnlySpan<byte> text, bool addSpecial, bool parseSpecial)
    {
        int[] tokens = new int[text.Length + 8];
        while (true)
        {
            nuint written = 0;
            AnnError error = AnnError.New();
            AnnStatus status;
            fixed (byte* source = text)
            fixed (int* target = tokens)
            {
                byte empty = 0;
                status = NativeMethods.Tokenize(
                    this, source == null ? &empty : source, (nuint)text.Length, addSpecial ? 1 : 0, parseSpecial ? 1 : 0,
                    target, (nuint)tokens.Length, &written, ref error);
            }

            if (status == AnnStatus.BufferTooSmall && written > (nuint)tokens.Length)
            {
                tokens = new int[checked((int)written)];
                continue;
            }

            NativeCall.ThrowIfFailed(status, in error);
            Array.Resize(ref tokens, checked((int)written));
            return tokens;
        }
    }

    /// <summary>Writes the raw bytes of one token and returns their number.</summary>
    /// <returns>The number of bytes; more than <paramref name="buffer"/> holds when it is too small.</returns>
    public int TokenToPiece(int token, bool special, Span<byte> buffer)
    {
        nuint written = 0;
        AnnError error = AnnError.New();
        AnnStatus status;
        fixed (byte* target = buffer)
        {
            status = NativeMethods.TokenToPiece(
                this, token, special ? 1 : 0, target, (nuint)buffer.Length, &written, ref error);
        }

        if (status == AnnStatus.BufferTooSmall)
        {
            return checked((int)Math.Max(written, (nuint)buffer.Length + 1));
        }

        NativeCall.ThrowIfFailed(status, in error);
        return checked((int)written);
    }

    /// <summary>Whether the token ends a generation.</summary>
    public bool IsEndOfGeneration(int token) => NativeMethods.TokenIsEog(this, token) != 0;

    /// <summary>The token that begins a text, -1 where there is none.</summary>
    public int BeginToken => NativeMethods.TokenBos(this);

    /// <summary>The token that ends a text, -1 where there is none.</summary>
    public int EndToken => NativeMethods.TokenEos(this);

    /// <summary>Applies the chat template to a JSON request and returns a JSON result.</summary>
    public string ApplyChat(string request)
    {
        byte[] utf8 = NativeText.ToZeroTerminated(request, nameof(request));
        return NativeText.Read((byte* buffer, nuint capacity, nuint* written, ref AnnError error) =>
        {
            fixed (byte* source = utf8)
            {
                return NativeMethods.ChatApply(this, source, buffer, capacity, written, ref error);
            }
        });
    }

    /// <summary>Parses generated text by what <see cref="ApplyChat"/> returned.</summary>
    public static string ParseChat(string text, bool isPartial, string applied)
    {
        byte[] generated = NativeText.ToZeroTerminated(text, nameof(text));
        byte[] format = NativeText.ToZeroTerminated(applied, nameof(applied));
        return NativeText.Read((byte* buffer, nuint capacity, nuint* written, ref AnnError error) =>
        {
            fixed (byte* source = generated, by = format)
            {
                return NativeMethods.ChatParse(source, isPartial ? 1 : 0, by, buffer, capacity, written, ref error);
            }
        });
    }
}
