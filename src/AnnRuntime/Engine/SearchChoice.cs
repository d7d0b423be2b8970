namespace AnnRuntime;

/// <summary>The part of the search that a request may choose. Cells are reused only by requests of the same choice.</summary>
internal readonly record struct SearchChoice(SearchMode Mode, int TopK);
