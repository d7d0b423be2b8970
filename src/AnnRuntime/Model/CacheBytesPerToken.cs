namespace AnnRuntime;

/// <summary>Bytes that one token takes in the caches, over all layers, at the default types.</summary>
/// <param name="K">Keys.</param>
/// <param name="V">Values.</param>
/// <param name="Search">Search keys.</param>
public sealed record CacheBytesPerToken(double K, double V, double Search);
