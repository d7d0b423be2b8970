namespace AnnRuntime;

/// <summary>What the search chose for one token.</summary>
/// <param name="Position">The position of the token that searched.</param>
/// <param name="Layers">The searched layers, ascending.</param>
public sealed record RetrievedCells(int Position, IReadOnlyList<RetrievedLayer> Layers);

/// <summary>What one layer chose for one token.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Positions">Positions attended to, ascending; empty after a dense pass.</param>
/// <param name="Mass">Share of the full attention's mass on them, 0..1; null after a dense pass.</param>
/// <param name="TeacherRecall">Share of the full attention's top-k among them, 0..1; null after a dense pass.</param>
public sealed record RetrievedLayer(int Layer, IReadOnlyList<int> Positions, double? Mass, double? TeacherRecall);
