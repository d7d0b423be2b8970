namespace AnnRuntime.Gguf;

/// <summary>A name out of a pickle, which stands for itself: it is compared, never looked up.</summary>
internal sealed record PickleName(string Text);
