using System.Text;

namespace AnnRuntime.Cli;

/// <summary>The prompt of a command line: given as text, in a file, or on standard input.</summary>
internal static class PromptText
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads the prompt.</summary>
    /// <exception cref="ArgumentException">Neither or both are given, the prompt is empty, or the file is no UTF-8.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static async Task<string> ReadAsync(string? text, string? file, CancellationToken cancellationToken)
    {
        if (text is null == file is null)
        {
            throw new ArgumentException("Give the prompt with either -p TEXT or -f FILE (- reads standard input).");
        }

        if (file is not null)
        {
            byte[] bytes = await ReadBytesAsync(file, cancellationToken);
            try
            {
                text = Strict.GetString(bytes);
            }
            catch (DecoderFallbackException exception)
            {
                throw new ArgumentException(
                    $"The prompt file '{file}' is no valid UTF-8 at byte {exception.Index}.", exception);
            }
        }

        return text!.Length > 0 ? text : throw new ArgumentException("The prompt is empty; it needs at least one character.");
    }

    private static async Task<byte[]> ReadBytesAsync(string file, CancellationToken cancellationToken)
    {
        if (file != "-")
        {
            return await File.ReadAllBytesAsync(file, cancellationToken);
        }

        using var buffer = new MemoryStream();
        await using Stream input = Console.OpenStandardInput();
        await input.CopyToAsync(buffer, cancellationToken);
        return buffer.ToArray();
    }
}
