using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace AnnRuntime.Gguf;

/// <summary>The key-value pairs of a GGUF file, in the order of the file.</summary>
public sealed class GgufMetadata : IReadOnlyCollection<KeyValuePair<string, GgufValue>>
{
    private readonly OrderedDictionary<string, GgufValue> _values = new(StringComparer.Ordinal);

    /// <summary>Creates metadata without pairs.</summary>
    /// <param name="source">Name of the file for messages; default "metadata".</param>
    public GgufMetadata(string source = "metadata") => Source = source;

    /// <summary>Creates a copy that can be changed by itself.</summary>
    public GgufMetadata(GgufMetadata other)
        : this(other.Source)
    {
        foreach ((string key, GgufValue value) in other)
        {
            _values.Add(key, value);
        }
    }

    /// <summary>Name of the file for messages.</summary>
    public string Source { get; }

    /// <inheritdoc/>
    public int Count => _values.Count;

    /// <summary>A value; setting a new key adds it at the end.</summary>
    /// <exception cref="KeyNotFoundException">Reading a key that is not there.</exception>
    public GgufValue this[string key]
    {
        get => _values[key];
        set => _values[key] = value;
    }

    /// <summary>The value of a key.</summary>
    public bool TryGet(string key, [NotNullWhen(true)] out GgufValue? value) => _values.TryGetValue(key, out value);

    /// <summary>True when the key is there.</summary>
    public bool Contains(string key) => _values.ContainsKey(key);

    /// <summary>Removes a key; false when it is not there.</summary>
    public bool Remove(string key) => _values.Remove(key);

    /// <summary>An integer of any width, or null when the key is absent.</summary>
    /// <exception cref="TensorFileException">The key holds something else.</exception>
    public long? GetInteger(string key) =>
        !TryGet(key, out GgufValue? value)
            ? null
            : value.TryGetInteger(out long n) ? n : throw Wrong(key, value, "an integer");

    /// <summary>A real number, or null when the key is absent.</summary>
    /// <exception cref="TensorFileException">The key holds something else.</exception>
    public double? GetFloat(string key) =>
        !TryGet(key, out GgufValue? value)
            ? null
            : value.TryGetFloat(out double x) ? x : throw Wrong(key, value, "f32 or f64");

    /// <summary>A text, or null when the key is absent.</summary>
    /// <exception cref="TensorFileException">The key holds something else.</exception>
    public string? GetString(string key) =>
        !TryGet(key, out GgufValue? value)
            ? null
            : value.TryGetString(out string s) ? s : throw Wrong(key, value, "a string");

    /// <summary>An array of integers, or null when the key is absent.</summary>
    /// <exception cref="TensorFileException">The key holds something else.</exception>
    public long[]? GetIntegers(string key) =>
        !TryGet(key, out GgufValue? value)
            ? null
            : value.TryGetIntegers(out long[] n) ? n : throw Wrong(key, value, "an array of integers");

    /// <summary>An integer that must be there and lie in a range.</summary>
    /// <exception cref="TensorFileException">Absent, something else, or outside the range.</exception>
    public int RequireInt32(string key, int minimum, int maximum)
    {
        long value = GetInteger(key)
            ?? throw new TensorFileException(Source, -1, $"key {key} is missing; expected {minimum}..{maximum}");
        return value >= minimum && value <= maximum
            ? (int)value
            : throw new TensorFileException(Source, -1, $"key {key} is {value}; expected {minimum}..{maximum}");
    }

    /// <summary>A text that must be there.</summary>
    /// <exception cref="TensorFileException">Absent or something else.</exception>
    public string RequireString(string key) =>
        GetString(key) ?? throw new TensorFileException(Source, -1, $"key {key} is missing; expected a string");

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, GgufValue>> GetEnumerator() => _values.GetEnumerator();

    /// <inheritdoc/>
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private TensorFileException Wrong(string key, GgufValue value, string expected) =>
        new(Source, -1, $"key {key} is {Describe(value)}; expected {expected}");

    private static string Describe(GgufValue value) =>
        value.Type == GgufValueType.Array ? $"an array of {value.ElementType}" : $"{value.Type} {value}";
}
