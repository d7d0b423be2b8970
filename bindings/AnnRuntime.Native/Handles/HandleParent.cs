namespace AnnRuntime.Native;

/// <summary>How a child handle keeps its model: it may be disposed in any order.</summary>
internal static class HandleParent
{
    /// <summary>Adds a reference to <paramref name="model"/> that the child gives back in its release.</summary>
    public static void Keep(ModelHandle model, ref ModelHandle? field)
    {
        bool added = false;
        model.DangerousAddRef(ref added);
        if (added)
        {
            field = model;
        }
    }
}
