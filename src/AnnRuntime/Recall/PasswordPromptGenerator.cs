using System.Globalization;
using System.Text;

namespace AnnRuntime;

/// <summary>Makes password prompts of an exact number of tokens.</summary>
/// <remarks>
/// An instruction with the password stands early, in the middle or late in ordinary prose; the question ends the
/// prompt. The wording is the one the embedded model was trained on.
/// </remarks>
public sealed class PasswordPromptGenerator
{
    private const string Question = "What is the password? Answer with the password only.";

    private static readonly string[] Instructions =
    [
        "Remember this exact password: {0}",
        "The password is {0}. Remember it exactly.",
        "Important: memorise the exact password {0}. You will be asked for it later.",
        "Please remember the following password exactly: {0}",
        "Note the secret password: {0}",
        "Before you read on, remember the password {0}.",
        "You must remember one thing from this text: the password is {0}.",
        "Keep in mind that the password is \"{0}\".",
        "The exact password you need to remember is {0}.",
        "Remember the exact password {0}; everything else in this text is irrelevant.",
    ];

    /// <summary>Short words that are one token in most vocabularies; they fill up the last tokens.</summary>
    private static readonly string[] Padding = [" and", " the", " of", " a", " it", " is", ".", ",", " to", " in", "\n"];

    private readonly Func<string, int[]> _tokenize;
    private readonly Func<string, string> _wrapChat;
    private readonly FillerText _filler;

    /// <summary>Makes prompts for a model.</summary>
    public PasswordPromptGenerator(AnnModel model)
        : this(text => model.Tokenizer.Tokenize(text), text => WrapChat(model, text), FillerText.Default)
    {
    }

    internal PasswordPromptGenerator(Func<string, int[]> tokenize, Func<string, string> wrapChat, FillerText filler)
    {
        _tokenize = tokenize;
        _wrapChat = wrapChat;
        _filler = filler;
    }

    /// <summary>Makes the prompt of an option set.</summary>
    /// <returns>
    /// Exactly <see cref="PasswordPromptOptions.Length"/> tokens; fewer only where the vocabulary has no single token
    /// for any of a dozen short words.
    /// </returns>
    /// <exception cref="ArgumentException">The length has no room for instruction and question.</exception>
    public PasswordPrompt Create(PasswordPromptOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var random = new StableRandom(
            ((ulong)(uint)options.Seed << 32) | ((ulong)options.Needle << 28) | (uint)options.Length);
        string answer = MakePassword(random, options.UnseenWords ? PasswordWords.Unseen : PasswordWords.Known);
        string instruction = string.Format(CultureInfo.InvariantCulture, random.Choose(Instructions), answer);
        var draft = new Draft(this, options, instruction, random.Next(_filler.Count));

        int least = draft.Tokens(0).Length;
        if (least > options.Length)
        {
            throw new ArgumentException(
                $"The length is {options.Length} tokens; instruction and question alone have {least} here.", nameof(options));
        }

        int words = draft.MostWords();
        string text = draft.Text(words, Pad(draft, words, options.Length));
        return new PasswordPrompt(text, _tokenize(text), answer, options);
    }

    /// <summary>Whether an answer is the password: all of it and nothing else but white space around it.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="answer">The generated text.</param>
    public static bool IsRight(PasswordPrompt prompt, string answer)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(answer);
        return answer.Trim() == prompt.Answer;
    }

    // the digits n with n % 11 = 5 never occur in a training password
    private static string MakePassword(StableRandom random, IReadOnlyList<string> words)
    {
        string first = random.Choose(words);
        string second;
        do
        {
            second = random.Choose(words);
        }
        while (second == first);

        int digits = 5 + 11 * random.Next(909);
        return string.Create(CultureInfo.InvariantCulture, $"{first}-{digits:0000}-{second}");
    }

    private static string WrapChat(AnnModel model, string text) =>
        model.ChatTemplate.Apply([new ChatMessage("user", text)], new ChatOptions { EnableThinking = false }).Prompt;

    private string Pad(Draft draft, int words, int length)
    {
        string padding = "";
        int count = draft.Tokens(words).Length;
        while (count < length)
        {
            string? next = Padding.FirstOrDefault(word => draft.Tokens(words, padding + word).Length == count + 1);
            if (next is null)
            {
                break;
            }

            padding += next;
            count++;
        }

        return padding;
    }

    /// <summary>One prompt with a growing number of words.</summary>
    private sealed class Draft(
        PasswordPromptGenerator owner, PasswordPromptOptions options, string instruction, int firstParagraph)
    {
        /// <summary>The greatest number of filler words whose prompt is not too long.</summary>
        public int MostWords()
        {
            int fits = 0;
            int exceeds = options.Length + 1;
            while (exceeds - fits > 1)
            {
                int middle = fits + (exceeds - fits) / 2;
                if (Tokens(middle).Length <= options.Length)
                {
                    fits = middle;
                }
                else
                {
                    exceeds = middle;
                }
            }

            return fits;
        }

        public int[] Tokens(int words, string padding = "") => owner._tokenize(Text(words, padding));

        public string Text(int words, string padding = "")
        {
            IReadOnlyList<string[]> paragraphs = owner._filler.Take(firstParagraph, words);
            int needle = NeedleParagraph(paragraphs, words);
            var text = new StringBuilder();
            for (int index = 0; index < paragraphs.Count; index++)
            {
                if (index == needle)
                {
                    text.Append(instruction).Append("\n\n");
                }

                text.AppendJoin(' ', paragraphs[index]);
                text.Append(index == paragraphs.Count - 1 ? padding : "").Append("\n\n");
            }

            if (needle >= paragraphs.Count)
            {
                text.Append(instruction).Append(paragraphs.Count == 0 ? padding : "").Append("\n\n");
            }

            text.Append(Question);
            return options.Chat ? owner._wrapChat(text.ToString()) : text.Append("\nAnswer:").ToString();
        }

        // the paragraph before which the instruction stands
        private int NeedleParagraph(IReadOnlyList<string[]> paragraphs, int words)
        {
            double share = options.Needle switch
            {
                NeedlePosition.Early => 0,
                NeedlePosition.Middle => 0.5,
                _ => 0.9,
            };
            int before = 0;
            for (int index = 0; index < paragraphs.Count; index++)
            {
                if (before >= share * words)
                {
                    return index;
                }

                before += paragraphs[index].Length;
            }

            return paragraphs.Count;
        }
    }
}
