using System.Globalization;

namespace AnnRuntime.Gguf;

/// <summary>Reads lists of layers from the command line.</summary>
public static class LayerList
{
    /// <summary>
    /// <c>all</c>, <c>none</c>, <c>reserve:N</c> (all but N layers, which lie evenly from the first to the last), or
    /// numbers and ranges with commas, such as <c>2,4,6</c>, <c>2-10</c>, <c>0,2-4</c>.
    /// </summary>
    /// <param name="text">The list.</param>
    /// <param name="layerCount">Layers of the model, counted from 0.</param>
    /// <returns>Layers in ascending order, each once.</returns>
    /// <exception cref="ArgumentException">Not such a list, or a layer that the model does not have.</exception>
    public static int[] Parse(string text, int layerCount)
    {
        string list = text.Trim();
        return list switch
        {
            "all" => [.. Enumerable.Range(0, layerCount)],
            "none" => [],
            _ when list.StartsWith("reserve:", StringComparison.Ordinal) => AllBut(
                list["reserve:".Length..], layerCount),
            _ => [.. list.Split(',').SelectMany(part => Range(part, layerCount)).Distinct().Order()],
        };
    }

    private static int[] AllBut(string text, int layerCount)
    {
        int count = Number(text);
        if (count > layerCount)
        {
            throw new ArgumentException(
                $"reserve:{count} names more layers than the model has, which is {layerCount}.");
        }

        HashSet<int> reserved = [];
        for (int i = 0; i < count; i++)
        {
            reserved.Add(count == 1 ? 0 : (int)Math.Round(i * (layerCount - 1) / (double)(count - 1)));
        }

        return [.. Enumerable.Range(0, layerCount).Where(layer => !reserved.Contains(layer))];
    }

    private static IEnumerable<int> Range(string part, int layerCount)
    {
        string[] ends = part.Split('-');
        int first = Number(ends[0]);
        int last = ends.Length switch
        {
            1 => first,
            2 => Number(ends[1]),
            _ => throw new ArgumentException($"'{part}' is not a layer or a range of layers."),
        };
        if (first > last || last >= layerCount)
        {
            throw new ArgumentException($"Layers '{part}' do not lie in 0..{layerCount - 1}.");
        }

        return Enumerable.Range(first, last - first + 1);
    }

    private static int Number(string text) =>
        int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int n)
            ? n
            : throw new ArgumentException(
                $"'{text}' is not a layer; expected all, none, reserve:N, or numbers and ranges such as 2,4-6.");
}
