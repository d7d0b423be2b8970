namespace AnnRuntime;

/// <summary>What the tokens of a prompt attend to in a searched layer.</summary>
public enum PrefillMode
{
    /// <summary>Every token searches.</summary>
    Sparse = 0,

    /// <summary>Ubatches of more than one token per sequence attend to all cells.</summary>
    Dense = 1,
}
