using System.Globalization;
using System.Security;
using System.Text;

namespace AnnRuntime.Cli;

/// <summary>A line plot as SVG, each axis logarithmic or linear. On a logarithmic x, 0 has a place of its own left of the smallest other x.</summary>
internal sealed class SvgPlot(string title, string xTitle, string yTitle, bool linear = false, bool linearX = false)
{
    private const double Width = 860, Height = 480, Left = 80, Right = 250, Top = 44, Bottom = 56;

    private static readonly string[] Colors =
        ["#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e0b", "#3f3f46", "#17a2a2", "#a0522d", "#8a9a0b"];

    private readonly List<(string Name, bool Dashed, int Color, (double X, double Y)[] Points)> _series = [];
    private readonly StringBuilder _svg = new();
    private double _xLow, _xHigh, _yLow, _yHigh;

    /// <summary>Adds a line; on a logarithmic y, points that are not positive are left out.</summary>
    /// <param name="name">In the legend.</param>
    /// <param name="dashed">Dashes.</param>
    /// <param name="points">In any order.</param>
    /// <param name="color">Index of its color; null: the next one.</param>
    public void Add(string name, bool dashed, IEnumerable<(double X, double Y)> points, int? color = null)
    {
        (double X, double Y)[] kept = [.. points.Where(point => (linear || point.Y > 0) && point.X >= 0).OrderBy(point => point.X)];
        if (kept.Length > 0)
        {
            _series.Add((name, dashed, color ?? _series.Count, kept));
        }
    }

    /// <summary>The document.</summary>
    public string Render()
    {
        SetRanges();
        _ = _svg.Clear();
        Write($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Write($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"#ffffff\"/>");
        Text(Left, 24, title, "start", "font-size=\"15\" font-weight=\"bold\"");
        DrawAxes();
        for (int i = 0; i < _series.Count; i++)
        {
            DrawSeries(i);
        }

        Write("</svg>");
        return _svg.ToString();
    }

    private void SetRanges()
    {
        double[] xs = [.. _series.SelectMany(s => s.Points).Select(p => p.X)];
        double[] ys = [.. _series.SelectMany(s => s.Points).Select(p => p.Y)];
        double[] positive = [.. xs.Where(x => x > 0)];
        double smallest = positive.Length > 0 ? positive.Min() : 1;
        _xLow = xs.Contains(0) ? smallest / 4 : smallest;
        _xHigh = Math.Max(positive.Length > 0 ? positive.Max() : 1, _xLow * 2);
        if (linearX)
        {
            _xLow = xs.DefaultIfEmpty(0).Min();
            _xHigh = Math.Max(xs.DefaultIfEmpty(1).Max(), _xLow + 1);
        }

        if (linear)
        {
            double step = Step(ys);
            _yLow = Math.Min(0, Math.Floor(ys.DefaultIfEmpty(0).Min() / step) * step);
            _yHigh = Math.Max(step, Math.Ceiling(ys.DefaultIfEmpty(1).Max() / step) * step);
            return;
        }

        _yLow = ys.Length > 0 ? Floor(ys.Min()) : 1;
        _yHigh = Math.Max(ys.Length > 0 ? Ceiling(ys.Max()) : 10, _yLow * 2);
    }

    private void DrawAxes()
    {
        double right = Width - Right, bottom = Height - Bottom;
        foreach (double value in Ticks())
        {
            Line(Left, Y(value), right, Y(value), "stroke=\"#e4e4e7\"");
            Text(Left - 8, Y(value) + 4, Label(value), "end");
        }

        foreach (double x in _series.SelectMany(s => s.Points).Select(p => p.X).Distinct().Order())
        {
            Line(X(x), Top, X(x), bottom, "stroke=\"#e4e4e7\"");
            Text(X(x), bottom + 18, Cells(x), "middle");
        }

        Write(string.Create(CultureInfo.InvariantCulture,
            $"<rect x=\"{Left}\" y=\"{Top}\" width=\"{right - Left}\" height=\"{bottom - Top}\" fill=\"none\" stroke=\"#71717a\"/>"));
        Text((Left + right) / 2, Height - 14, xTitle, "middle");
        Text(0, 0, yTitle, "middle", string.Create(CultureInfo.InvariantCulture, $"transform=\"translate(20 {(Top + bottom) / 2}) rotate(-90)\""));
    }

    private IEnumerable<double> Ticks()
    {
        if (linear)
        {
            double step = Step([_yLow, _yHigh]);
            return Enumerable.Range(0, (int)Math.Round((_yHigh - _yLow) / step) + 1).Select(i => Math.Round(_yLow + i * step, 9));
        }

        double first = Math.Floor(Math.Log10(_yLow));
        int[] digits = _yHigh / _yLow > 1e4 ? [1] : [1, 2, 5];
        return Enumerable.Range(0, 30)
            .SelectMany(i => digits.Select(digit => Math.Pow(10, first + i) * digit))
            .Where(value => value >= _yLow * 0.999 && value <= _yHigh * 1.001);
    }

    // 1, 2 or 5 times a power of ten, about six of them between 0 and the farthest value
    private static double Step(IReadOnlyList<double> values)
    {
        double span = Math.Max(1e-6, Math.Max(0, values.DefaultIfEmpty(1).Max()) - Math.Min(0, values.DefaultIfEmpty(0).Min()));
        double decade = Math.Pow(10, Math.Floor(Math.Log10(span / 6)));
        return ((double[])[1, 2, 5, 10]).Select(digit => digit * decade).First(step => span / step <= 7);
    }

    private void DrawSeries(int index)
    {
        (string name, bool dashed, int own, (double X, double Y)[] points) = _series[index];
        string color = Colors[own % Colors.Length];
        string style = $"stroke=\"{color}\" stroke-width=\"2\"{(dashed ? " stroke-dasharray=\"5 4\"" : "")}";
        string path = string.Join(' ', points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.X):0.#},{Y(p.Y):0.#}")));
        Write($"<polyline fill=\"none\" {style} points=\"{path}\"/>");
        foreach ((double x, double y) in points)
        {
            Write(string.Create(CultureInfo.InvariantCulture, $"<circle cx=\"{X(x):0.#}\" cy=\"{Y(y):0.#}\" r=\"3\" fill=\"{color}\"/>"));
        }

        double legend = Top + 12 + 20 * index, start = Width - Right + 14;
        Line(start, legend, start + 24, legend, style);
        Text(start + 30, legend + 4, name, "start");
    }

    private double X(double x) => linearX
        ? Left + 16 + (Width - Right - 16 - Left - 16) * (x - _xLow) / (_xHigh - _xLow)
        : Scale(x == 0 ? _xLow : x, _xLow, _xHigh, Left + 16, Width - Right - 16);

    private double Y(double y) => linear
        ? Height - Bottom + (Top - Height + Bottom) * (y - _yLow) / (_yHigh - _yLow)
        : Scale(y, _yLow, _yHigh, Height - Bottom, Top);

    private static double Scale(double value, double low, double high, double from, double to) =>
        from + (to - from) * Math.Log(value / low) / Math.Log(high / low);

    // the nearest 1, 2 or 5 times a power of ten below and above
    private static double Floor(double value)
    {
        double decade = Math.Pow(10, Math.Floor(Math.Log10(value)));
        return decade * (value >= 5 * decade ? 5 : value >= 2 * decade ? 2 : 1);
    }

    private static double Ceiling(double value)
    {
        double floor = Floor(value);
        double decade = Math.Pow(10, Math.Floor(Math.Log10(value)));
        return floor == value ? value : floor == decade ? 2 * decade : floor == 2 * decade ? 5 * decade : 10 * decade;
    }

    private static string Label(double value) => string.Create(CultureInfo.InvariantCulture, $"{Math.Abs(value) switch
    {
        >= 1e9 => value / 1e9,
        >= 1e6 => value / 1e6,
        >= 1e5 => value / 1e3,
        _ => value,
    }:G4}{Math.Abs(value) switch { >= 1e9 => " G", >= 1e6 => " M", >= 1e5 => " k", _ => "" }}");

    private static string Cells(double x) => x >= 1 << 20 && x % (1 << 20) == 0 ? $"{x / (1 << 20):0}M"
        : x >= 1024 && x % 1024 == 0 ? $"{x / 1024:0}k"
        : $"{x:0}";

    private void Line(double x1, double y1, double x2, double y2, string style) => Write(string.Create(
        CultureInfo.InvariantCulture, $"<line x1=\"{x1:0.#}\" y1=\"{y1:0.#}\" x2=\"{x2:0.#}\" y2=\"{y2:0.#}\" {style}/>"));

    private void Text(double x, double y, string text, string anchor, string style = "") => Write(string.Create(
        CultureInfo.InvariantCulture,
        $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\" fill=\"#27272a\" {style}>{SecurityElement.Escape(text)}</text>"));

    private void Write(string line) => _svg.Append(line).Append('\n');
}
