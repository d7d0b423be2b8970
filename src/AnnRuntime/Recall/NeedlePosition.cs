namespace AnnRuntime;

/// <summary>Where in a prompt the password stands.</summary>
public enum NeedlePosition
{
    /// <summary>Before all other text.</summary>
    Early,

    /// <summary>In the middle.</summary>
    Middle,

    /// <summary>Behind nine tenths of the text.</summary>
    Late,
}
