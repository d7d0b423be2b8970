using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace AnnRuntime.Cli;

/// <summary>Makes options whose complaints name the option, the value and the range.</summary>
internal static class Make
{
    /// <summary>A whole number, null when it is not given.</summary>
    public static Option<int?> Integer(string name, string description, int minimum, int maximum = int.MaxValue) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => ParseInteger(result, name, minimum, maximum),
    };

    /// <summary>A whole number with a default.</summary>
    public static Option<int> Integer(
        string name, string description, int minimum, int maximum, int defaultValue, params string[] aliases) => new(name, aliases)
        {
            Description = description,
            HelpName = "N",
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result => ParseInteger(result, name, minimum, maximum) ?? defaultValue,
        };

    /// <summary>A list of whole numbers, separated by commas; null when it is not given.</summary>
    /// <remarks>A list, not an array: an absent array would be read as an empty one.</remarks>
    public static Option<IReadOnlyList<int>?> Integers(
        string name, string description, int minimum, params int[] defaultValue)
    {
        Option<IReadOnlyList<int>?> option = new(name)
        {
            Description = description,
            HelpName = "N,N,...",
            CustomParser = result => ParseIntegers(result, name, minimum),
        };
        if (defaultValue.Length > 0)
        {
            option.DefaultValueFactory = _ => defaultValue;
        }

        return option;
    }

    /// <summary>A number with a default.</summary>
    public static Option<float> Number(string name, string description, float minimum, float maximum, float defaultValue) => new(name)
    {
        Description = description,
        HelpName = "X",
        DefaultValueFactory = _ => defaultValue,
        CustomParser = result =>
        {
            string text = result.Tokens[^1].Value;
            if (float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value)
                && value >= minimum && value <= maximum)
            {
                return value;
            }

            string range = maximum == float.MaxValue ? $"of at least {minimum}" : $"in {minimum}..{maximum}";
            result.AddError($"{name} is '{text}'; it must be a number {range}.");
            return defaultValue;
        },
    };

    /// <summary>One of a few words, null when it is not given.</summary>
    public static Option<string?> Choice(string name, string description, params string[] values) => new(name)
    {
        Description = description,
        HelpName = string.Join('|', values),
        CustomParser = result =>
        {
            string text = result.Tokens[^1].Value;
            if (!values.Contains(text, StringComparer.OrdinalIgnoreCase))
            {
                result.AddError($"{name} is '{text}'; it must be {AnyOf(values)}.");
            }

            return text.ToLowerInvariant();
        },
    };

    /// <summary>Some of a few words, separated by commas.</summary>
    public static Option<string[]> Choices(
        string name, string description, string[] values, string[] defaultValue) => new(name)
        {
            Description = description,
            HelpName = string.Join(',', values),
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result =>
            {
                string text = result.Tokens[^1].Value;
                string[] parts = text.ToLowerInvariant().Split(',', StringSplitOptions.TrimEntries);
                if (parts.FirstOrDefault(part => !values.Contains(part)) is { } wrong)
                {
                    result.AddError($"{name} has '{wrong}'; each must be {AnyOf(values)}.");
                }

                return [.. parts.Distinct()];
            },
        };

    private static string AnyOf(string[] values) =>
        string.Join(", ", values[..^1]) + (values.Length > 1 ? " or " : "") + values[^1];

    private static IReadOnlyList<int>? ParseIntegers(ArgumentResult result, string name, int minimum)
    {
        string text = result.Tokens[^1].Value;
        var numbers = new List<int>();
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (!int.TryParse(part, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
                || number < minimum)
            {
                result.AddError(
                    $"{name} is '{text}'; it must be whole numbers of at least {minimum}, separated by commas.");
                return null;
            }

            numbers.Add(number);
        }

        return [.. numbers.Distinct()];
    }

    private static int? ParseInteger(ArgumentResult result, string name, int minimum, int maximum)
    {
        string text = result.Tokens[^1].Value;
        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
            && value >= minimum && value <= maximum)
        {
            return value;
        }

        string range = maximum == int.MaxValue ? $"of at least {minimum}" : $"in {minimum}..{maximum}";
        result.AddError($"{name} is '{text}'; it must be a whole number {range}.");
        return null;
    }
}
