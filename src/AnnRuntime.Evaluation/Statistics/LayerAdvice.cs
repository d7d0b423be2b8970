namespace AnnRuntime.Evaluation;

/// <summary>One layer's learned search beside the raw-QK oracle, and whether it should stay reserved.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Mass">Attention mass of the learned search.</param>
/// <param name="OracleMass">Attention mass of the oracle.</param>
/// <param name="Delta">The difference; below 0, the search loses.</param>
/// <param name="TeacherRecall">Teacher recall of the learned search.</param>
/// <param name="OracleTeacherRecall">Teacher recall of the oracle.</param>
/// <param name="Weak">The search keeps at least <see cref="WeakDelta"/> less than the oracle.</param>
/// <param name="Diffuse">Even the oracle keeps less than <see cref="DiffuseMass"/>: K cells are too few for this layer.</param>
public sealed record LayerAdvice(
    int Layer, double Mass, double OracleMass, double Delta, double TeacherRecall, double OracleTeacherRecall, bool Weak, bool Diffuse)
{
    /// <summary>Mass lost to the oracle from which on a layer is weak.</summary>
    public const double WeakDelta = 0.03;

    /// <summary>Oracle mass below which a layer is diffuse.</summary>
    public const double DiffuseMass = 0.5;

    /// <summary>Compares two measured variants layer by layer.</summary>
    /// <param name="learned">The learned search.</param>
    /// <param name="oracle">The oracle with the same K.</param>
    public static IReadOnlyList<LayerAdvice> From(VariantFigures learned, VariantFigures oracle)
    {
        ArgumentNullException.ThrowIfNull(learned);
        ArgumentNullException.ThrowIfNull(oracle);
        return [.. learned.Layers.Zip(oracle.Layers, (mine, best) => new LayerAdvice(
            mine.Layer,
            mine.Mass,
            best.Mass,
            mine.Mass - best.Mass,
            mine.TeacherRecall,
            best.TeacherRecall,
            mine.Mass - best.Mass <= -WeakDelta,
            best.Mass < DiffuseMass))];
    }

    /// <summary>Layers that should attend to all cells: weak or diffuse ones, most mass lost first.</summary>
    /// <param name="layers">All measured layers.</param>
    public static IReadOnlyList<int> Reserve(IEnumerable<LayerAdvice> layers) =>
        [.. layers.Where(layer => layer.Weak || layer.Diffuse).OrderBy(layer => layer.Mass).Select(layer => layer.Layer)];

    /// <summary>Layers in the order in which they should be reserved: the least mass first.</summary>
    /// <param name="layers">All measured layers.</param>
    public static IReadOnlyList<int> WeakestFirst(IEnumerable<WindowLayer> layers) =>
        [.. layers.OrderBy(layer => layer.Mass).Select(layer => layer.Layer)];
}
