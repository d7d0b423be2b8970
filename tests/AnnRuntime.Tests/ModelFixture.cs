namespace AnnRuntime.Tests;

/// <summary>The embedded model, loaded once for all tests.</summary>
public sealed class ModelFixture : IDisposable
{
    private readonly Lazy<AnnModel> _model = new(() => AnnModel.Load(ModelPath));

    public ModelFixture() => IndexCalibration.File = null; // what tests measure beside each other is nothing to keep

    /// <summary>The root of the checkout.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The embedded model's file.</summary>
    public static string ModelPath { get; } = Path.Combine(Root, "models", "ann-rotated-d64-q8_0.gguf");

    /// <summary>The embedded model.</summary>
    public AnnModel Model => _model.Value;

    /// <summary>A context of the embedded model for short texts.</summary>
    public AnnContext CreateContext(int length = 1024, SearchOptions? search = null, int sequences = 1) =>
        Model.CreateContext(new ContextOptions
        {
            ContextLength = length,
            UbatchSize = 128,
            MaxSequences = sequences,
            Search = search ?? new SearchOptions(),
        });

    /// <summary>Tokens of ordinary prose.</summary>
    public int[] Prose(int count)
    {
        string text = string.Join("\n\n", FillerText.Default.Take(0, count).Select(words => string.Join(' ', words)));
        return Model.Tokenizer.Tokenize(text)[..count];
    }

    public void Dispose()
    {
        if (_model.IsValueCreated)
        {
            _model.Value.Dispose();
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
        {
            if (File.Exists(Path.Combine(parent.FullName, "AnnRuntime.slnx")))
            {
                return parent.FullName;
            }
        }

        throw new InvalidOperationException($"No directory above {AppContext.BaseDirectory} holds AnnRuntime.slnx.");
    }
}
