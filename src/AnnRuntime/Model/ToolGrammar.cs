using System.Text.RegularExpressions;

namespace AnnRuntime;

/// <summary>Makes the library's grammar of a required tool call say what was asked for, and no more.</summary>
/// <remarks>
/// The library lets any text come before the call, and several calls even where one was asked for. A small model then talks
/// until its tokens are used up, or calls again and again.
/// </remarks>
internal static partial class ToolGrammar
{
    public static string Tighten(string grammar, bool parallel)
    {
        string tight = TextBeforeCalls().Replace(grammar, "$1");
        return parallel ? tight : RepeatedCalls().Replace(tight, "$1tool-call");
    }

    // "root ::= beginning until-7? tool-calls": the text that ends where a call begins
    [GeneratedRegex(@"^(root ::= .*?)until-\d+\? (?=tool-calls?$)", RegexOptions.Multiline)]
    private static partial Regex TextBeforeCalls();

    [GeneratedRegex(@"^(tool-calls ::= )\(tool-call space\)\+$", RegexOptions.Multiline)]
    private static partial Regex RepeatedCalls();
}
