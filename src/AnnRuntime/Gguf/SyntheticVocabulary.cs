namespace AnnRuntime.Gguf;

/// <summary>A vocabulary of any size that can tokenize any text, byte by byte.</summary>
/// <remarks>
/// Byte-level BPE without merges: 256 byte tokens, filler words, one end token. Nothing is learned from text.
/// </remarks>
internal static class SyntheticVocabulary
{
    /// <summary>Smallest size: the bytes and the end token.</summary>
    public const int MinimumSize = 257;

    private const int Normal = 1;
    private const int Control = 3;

    /// <summary>Adds the tokenizer's keys.</summary>
    /// <param name="metadata">Takes the keys.</param>
    /// <param name="size">Tokens, at least <see cref="MinimumSize"/>; the last one ends a text.</param>
    /// <param name="splitter">llama.cpp's name for the regular expression that splits text into words.</param>
    public static void WriteTo(GgufMetadata metadata, int size, string splitter)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, MinimumSize);
        string[] tokens = new string[size];
        int[] types = new int[size];
        Array.Fill(types, Normal);
        for (int i = 0; i < size; i++)
        {
            tokens[i] = i < 256 ? ByteToken(i) : $"{ByteToken(' ')}w{i}";
        }

        tokens[size - 1] = "<|endoftext|>";
        types[size - 1] = Control;
        metadata["tokenizer.ggml.model"] = GgufValue.From("gpt2");
        metadata["tokenizer.ggml.pre"] = GgufValue.From(splitter);
        metadata["tokenizer.ggml.tokens"] = GgufValue.FromArray(tokens);
        metadata["tokenizer.ggml.token_type"] = GgufValue.FromArray<int>(types);
        metadata["tokenizer.ggml.merges"] = GgufValue.FromArray(Array.Empty<string>());
        metadata["tokenizer.ggml.bos_token_id"] = GgufValue.From((uint)(size - 1));
        metadata["tokenizer.ggml.eos_token_id"] = GgufValue.From((uint)(size - 1));
        metadata["tokenizer.ggml.padding_token_id"] = GgufValue.From((uint)(size - 1));
        metadata["tokenizer.ggml.add_bos_token"] = GgufValue.From(false);
    }

    // GPT-2's printable stand-in for a byte: printable Latin-1 is itself, the others are counted up from U+0100
    private static string ByteToken(int value)
    {
        int shifted = 0;
        for (int b = 0; b < value; b++)
        {
            shifted += IsPrintable(b) ? 0 : 1;
        }

        return ((char)(IsPrintable(value) ? value : 256 + shifted)).ToString();
    }

    private static bool IsPrintable(int b) =>
        b is (>= '!' and <= '~') or (>= 0xa1 and <= 0xac) or (>= 0xae and <= 0xff);
}
