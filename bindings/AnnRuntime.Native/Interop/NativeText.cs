using System.Text;

namespace AnnRuntime.Native;

/// <summary>UTF-8 in and out of the library.</summary>
internal static unsafe class NativeText
{
    /// <summary>Bytes offered to the first of two calls; longer texts take a second one.</summary>
    private const int FirstCapacity = 4096;

    /// <summary>A function with the call-twice convention.</summary>
    internal delegate AnnStatus Fill(byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    /// <summary>Text up to the first zero.</summary>
    public static string FromBuffer(ReadOnlySpan<byte> buffer)
    {
        int end = buffer.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? buffer : buffer[..end]);
    }

    /// <summary>Zero-terminated UTF-8 of a text.</summary>
    /// <exception cref="ArgumentException">The text holds a zero character or an unpaired surrogate.</exception>
    public static byte[] ToZeroTerminated(string text, string name)
    {
        if (text.Contains('\0'))
        {
            throw new ArgumentException($"{name} holds a zero character at index {text.IndexOf('\0')}.", name);
        }

        byte[] bytes = ToUtf8(text, name);
        Array.Resize(ref bytes, bytes.Length + 1);
        return bytes;
    }

    /// <summary>Zero-terminated UTF-8 of several texts, one behind the other.</summary>
    /// <param name="texts">The texts.</param>
    /// <param name="name">What they are called in a complaint.</param>
    /// <param name="starts">Where each begins.</param>
    /// <exception cref="ArgumentException">A text holds a zero character or an unpaired surrogate.</exception>
    public static byte[] ToZeroTerminated(IReadOnlyList<string> texts, string name, out int[] starts)
    {
        List<byte> all = [];
        starts = new int[texts.Count];
        for (int index = 0; index < starts.Length; index++)
        {
            starts[index] = all.Count;
            all.AddRange(ToZeroTerminated(texts[index], $"{name}[{index}]"));
        }

        return [.. all];
    }

    /// <summary>UTF-8 of a text.</summary>
    /// <exception cref="ArgumentException">The text holds an unpaired surrogate.</exception>
    public static byte[] ToUtf8(string text, string name)
    {
        try
        {
            return Strict.GetBytes(text);
        }
        catch (EncoderFallbackException exception)
        {
            throw new ArgumentException(
                $"{name} is no valid Unicode: an unpaired surrogate stands at index {exception.Index}.", name, exception);
        }
    }

    /// <summary>Calls <paramref name="fill"/> until the buffer holds the whole text.</summary>
    public static string Read(Fill fill)
    {
        byte[] buffer = new byte[FirstCapacity];
        while (true)
        {
            nuint written = 0;
            AnnError error = AnnError.New();
            AnnStatus status;
            fixed (byte* target = buffer)
            {
                status = fill(target, (nuint)buffer.Length, &written, ref error);
            }

            if (status != AnnStatus.BufferTooSmall || written < (nuint)buffer.Length)
            {
                NativeCall.ThrowIfFailed(status, in error);
                return Encoding.UTF8.GetString(buffer, 0, checked((int)written));
            }

            buffer = new byte[checked((int)written + 1)];
        }
    }

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
}
