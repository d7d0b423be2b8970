using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace AnnRuntime.Gguf;

/// <summary>A dictionary out of a pickle; keys are text, in the order of the pickle.</summary>
internal sealed class PickleDictionary : OrderedDictionary<string, object?>
{
    // a pickle can refer to one list from many places, and to a list from within itself
    private const int MaximumDepth = 16;
    private const int MaximumBytes = 1 << 20;

    /// <summary>The dictionary as JSON; null when it is deeper or longer than any real configuration.</summary>
    public string? ToJson()
    {
        using MemoryStream bytes = new();
        JsonWriterOptions options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (Utf8JsonWriter json = new(bytes, options))
        {
            if (!Write(json, this, 0))
            {
                return null;
            }
        }

        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    private static bool Write(Utf8JsonWriter json, object? value, int depth)
    {
        if (depth > MaximumDepth || json.BytesCommitted + json.BytesPending > MaximumBytes)
        {
            return false;
        }

        switch (value)
        {
            case PickleDictionary dictionary:
                json.WriteStartObject();
                foreach ((string key, object? item) in dictionary)
                {
                    json.WritePropertyName(key);
                    if (!Write(json, item, depth + 1))
                    {
                        return false;
                    }
                }

                json.WriteEndObject();
                return true;
            case IReadOnlyList<object?> list:
                json.WriteStartArray();
                foreach (object? item in list)
                {
                    if (!Write(json, item, depth + 1))
                    {
                        return false;
                    }
                }

                json.WriteEndArray();
                return true;
            default:
                WriteScalar(json, value);
                return true;
        }
    }

    private static void WriteScalar(Utf8JsonWriter json, object? value)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case bool truth:
                json.WriteBooleanValue(truth);
                break;
            case long number:
                json.WriteNumberValue(number);
                break;
            case double real when double.IsFinite(real):
                json.WriteNumberValue(real);
                break;
            default:
                json.WriteStringValue(Convert.ToString(value, CultureInfo.InvariantCulture));
                break;
        }
    }
}
