using System.Text;

namespace AnnRuntime;

/// <summary>Finds stop strings in a stream of text and holds back what may become one.</summary>
internal sealed class StopScanner
{
    private readonly string[] _stops;
    private readonly StringBuilder _held = new();

    public StopScanner(IReadOnlyList<string> stops) => _stops = [.. stops];

    /// <summary>The stop string that was found, null before.</summary>
    public string? Found { get; private set; }

    /// <summary>Adds text and returns what can be shown: everything before a stop string or a beginning of one.</summary>
    public string Append(string text)
    {
        if (Found is not null)
        {
            return "";
        }

        if (_stops.Length == 0)
        {
            return text;
        }

        _held.Append(text);
        string all = _held.ToString();
        int first = -1;
        foreach (string stop in _stops)
        {
            int at = all.IndexOf(stop, StringComparison.Ordinal);
            if (at >= 0 && (first < 0 || at < first))
            {
                first = at;
                Found = stop;
            }
        }

        int shown = first >= 0 ? first : all.Length - LongestBeginning(all);
        _held.Clear();
        if (first < 0)
        {
            _held.Append(all, shown, all.Length - shown);
        }

        return all[..shown];
    }

    /// <summary>The text that was held back and has not become a stop string.</summary>
    public string Flush()
    {
        string rest = _held.ToString();
        _held.Clear();
        return rest;
    }

    // length of the longest end of the text that is the beginning of a stop string
    private int LongestBeginning(string text)
    {
        int longest = 0;
        foreach (string stop in _stops)
        {
            for (int length = Math.Min(stop.Length - 1, text.Length); length > longest; length--)
            {
                if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                {
                    longest = length;
                    break;
                }
            }
        }

        return longest;
    }
}
