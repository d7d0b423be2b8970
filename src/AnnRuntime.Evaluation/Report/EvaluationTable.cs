namespace AnnRuntime.Evaluation;

/// <summary>A table of figures, ready to be written in any format.</summary>
/// <param name="Title">One line.</param>
/// <param name="Columns">Headings.</param>
/// <param name="TextColumns">Leading columns of text; the others are numbers.</param>
/// <param name="Rows">Cells.</param>
/// <param name="Notes">Sentences below.</param>
public sealed record EvaluationTable(
    string Title, IReadOnlyList<string> Columns, int TextColumns, IReadOnlyList<IReadOnlyList<string>> Rows, IReadOnlyList<string> Notes);
