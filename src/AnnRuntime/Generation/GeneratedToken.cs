namespace AnnRuntime;

/// <summary>One token of an answer, with the text that became certain with it.</summary>
/// <param name="Id">The token.</param>
/// <param name="Text">
/// Whole characters. Empty while bytes of a character are missing, while the text may become a stop string, and for a
/// token that ends the generation.
/// </param>
/// <param name="Index">0 for the first token of the answer.</param>
public readonly record struct GeneratedToken(int Id, string Text, int Index);
