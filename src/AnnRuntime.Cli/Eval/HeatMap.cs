using System.Globalization;
using System.Security;
using System.Text;

namespace AnnRuntime.Cli;

/// <summary>A table of shares 0..1 as SVG, light to dark, with the numbers in the cells.</summary>
internal static class HeatMap
{
    private const int CellWidth = 56, CellHeight = 26, Left = 190, Top = 58;

    /// <param name="title">Above.</param>
    /// <param name="xTitle">What columns are.</param>
    /// <param name="columns">Headings.</param>
    /// <param name="rows">A name and a value for each column; null: not measured.</param>
    public static string Render(
        string title, string xTitle, IReadOnlyList<string> columns, IReadOnlyList<(string Name, IReadOnlyList<double?> Values)> rows)
    {
        int names = 30 + (int)(6.5 * Math.Max(xTitle.Length, rows.Max(row => row.Name.Length))), left = Math.Min(Left, names);
        int width = Math.Max(left + columns.Count * CellWidth + 12, 24 + (int)(8.6 * title.Length)), height = Top + rows.Count * CellHeight + 8;
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
        Text(svg, 12, 22, title, "start", "#27272a", "font-size=\"15\" font-weight=\"bold\"");
        Text(svg, left - 10, Top - 10, xTitle, "end", "#71717a");
        for (int column = 0; column < columns.Count; column++)
        {
            Text(svg, left + column * CellWidth + CellWidth / 2, Top - 10, columns[column], "middle", "#27272a");
        }

        for (int row = 0; row < rows.Count; row++)
        {
            int y = Top + row * CellHeight;
            Text(svg, left - 10, y + 17, rows[row].Name, "end", "#27272a");
            for (int column = 0; column < columns.Count; column++)
            {
                double? value = rows[row].Values[column];
                svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{left + column * CellWidth}\" y=\"{y}\" width=\"{CellWidth - 1}\" height=\"{CellHeight - 1}\" fill=\"{Color(value)}\"/>\n");
                string text = value is { } number ? number.ToString("0.00", CultureInfo.InvariantCulture) : "-";
                Text(svg, left + column * CellWidth + CellWidth / 2, y + 17, text, "middle", value > 0.6 ? "#ffffff" : "#27272a");
            }
        }

        return svg.Append("</svg>\n").ToString();
    }

    // white to the first color of the plots
    private static string Color(double? value)
    {
        if (value is not { } share)
        {
            return "#f4f4f5";
        }

        double x = Math.Clamp(share, 0, 1);
        return $"#{Mix(0xf7, 0x1b, x):x2}{Mix(0xfb, 0x5e, x):x2}{Mix(0xff, 0x96, x):x2}";
    }

    private static int Mix(int from, int to, double share) => (int)Math.Round(from + (to - from) * share);

    private static void Text(StringBuilder svg, int x, int y, string text, string anchor, string color, string style = "") => svg.Append(
        CultureInfo.InvariantCulture,
        $"<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{color}\" {style}>{SecurityElement.Escape(text)}</text>\n");
}
