using System.Text;

namespace AnnRuntime;

/// <summary>An answer as it grows: tokens, the text that is certain, and why it ends.</summary>
internal sealed class AnswerBuilder(Tokenizer tokenizer, GenerationOptions options)
{
    private readonly TokenDecoder _decoder = new();
    private readonly StopScanner _stops = new(options.StopStrings);
    private readonly StringBuilder _text = new();
    private readonly List<int> _tokens = [];
    private readonly HashSet<int> _shown = [.. options.ShownTokens
        .Select(text => tokenizer.Tokenize(text, addSpecial: false)).Where(tokens => tokens.Length == 1).Select(tokens => tokens[0])];

    public string Text => _text.ToString();

    public IReadOnlyList<int> Tokens => _tokens;

    /// <summary>Adds a token. The one that ends the answer carries all text that was held back.</summary>
    /// <param name="token">The token that was sampled.</param>
    /// <param name="full">Whether the token has no cell.</param>
    /// <param name="reason">Why the answer ends with this token, null if it goes on.</param>
    public GeneratedToken Add(int token, bool full, out FinishReason? reason)
    {
        bool ends = tokenizer.IsEndOfGeneration(token) && !options.IgnoreEndOfGeneration;
        string text = "";
        bool shown = options.ShowSpecial || _shown.Contains(token);
        if (!ends || shown)
        {
            text = _stops.Append(_decoder.Append(tokenizer.GetBytes(token, shown)));
        }

        reason =
            _stops.Found is not null ? FinishReason.StopString
            : ends ? FinishReason.EndOfGeneration
            : _tokens.Count + 1 >= options.MaxTokens ? FinishReason.MaxTokens
            : full ? FinishReason.ContextFull
            : null;
        if (reason is not null && reason != FinishReason.StopString)
        {
            text += _stops.Append(_decoder.Flush()) + _stops.Flush();
        }

        _text.Append(text);
        _tokens.Add(token);
        return new GeneratedToken(token, text, _tokens.Count - 1);
    }
}
