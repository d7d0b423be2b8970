namespace AnnRuntime;

/// <summary>One sequence of an engine, as it was between two steps.</summary>
/// <param name="Id">The sequence.</param>
/// <param name="IsBusy">Whether it serves a request.</param>
/// <param name="CachedTokens">Tokens whose cells it holds.</param>
/// <param name="PendingTokens">Tokens that are to be computed next.</param>
/// <param name="GeneratedTokens">Tokens of the answer so far.</param>
/// <param name="Mode">The search that computed its cells.</param>
/// <param name="TopK">Its K; 0 where all cells are attended to.</param>
public sealed record SlotStatus(
    int Id, bool IsBusy, int CachedTokens, int PendingTokens, int GeneratedTokens, SearchMode Mode, int TopK);
