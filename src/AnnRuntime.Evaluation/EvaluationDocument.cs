using System.Text.Json;

namespace AnnRuntime.Evaluation;

/// <summary>What one verb of <c>ann eval</c> measured; parts that it does not measure are null.</summary>
public sealed record EvaluationDocument
{
    /// <summary>ppl, sweep, layers, coverage, paired, kld, dynamic, scaling or tasks.</summary>
    public required string Verb { get; init; }

    /// <summary>File name of the model.</summary>
    public required string Model { get; init; }

    /// <summary>Its size.</summary>
    public required long ModelBytes { get; init; }

    /// <summary>File name of the model that it is compared with; null without one.</summary>
    public string? Against { get; init; }

    /// <summary>File name of the text; null for tasks.</summary>
    public string? Text { get; init; }

    /// <summary>Tokens of a window; null for tasks.</summary>
    public int? WindowLength { get; init; }

    /// <summary>Windows; null for tasks.</summary>
    public int? Windows { get; init; }

    /// <summary>Last tokens of a window that came one by one and were the only targets; null: all are targets.</summary>
    public int? Generated { get; init; }

    /// <summary>Segments of packed documents in all windows, none of which sees another; null: plain windows.</summary>
    public int? Documents { get; init; }

    /// <summary>Processor and threads: what times depend on.</summary>
    public string? Machine { get; init; }

    /// <summary>The day, UTC.</summary>
    public required string Date { get; init; }

    /// <summary>The command line that repeats it.</summary>
    public required string Command { get; init; }

    /// <summary>Variant by variant.</summary>
    public IReadOnlyList<VariantFigures>? Variants { get; init; }

    /// <summary>Layer by layer, learned search beside the oracle.</summary>
    public IReadOnlyList<LayerAdvice>? Layers { get; init; }

    /// <summary>Layers that should stay reserved, most mass lost first.</summary>
    public IReadOnlyList<int>? Reserve { get; init; }

    /// <summary>Coverage: which layers searched.</summary>
    public IReadOnlyList<CoveragePoint>? Coverage { get; init; }

    /// <summary>Pairs.</summary>
    public IReadOnlyList<PairedComparison>? Pairs { get; init; }

    /// <summary>Divergence from full attention.</summary>
    public IReadOnlyList<DivergenceFigures>? Divergence { get; init; }

    /// <summary>Cost by formula, 4K to 4M cells.</summary>
    public IReadOnlyList<SelectorCost>? Costs { get; init; }

    /// <summary>Cost as measured, in caches of random contents.</summary>
    public IReadOnlyList<ScalingPoint>? Scaling { get; init; }

    /// <summary>Long-context tasks.</summary>
    public IReadOnlyList<TaskScore>? Tasks { get; init; }

    /// <summary>The document as JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, EvaluationJson.Documents.EvaluationDocument);

    /// <summary>Reads a document.</summary>
    /// <param name="path">What <see cref="ToJson"/> wrote.</param>
    /// <exception cref="ArgumentException">No such document.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static EvaluationDocument Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllText(path), EvaluationJson.Documents.EvaluationDocument)
                ?? throw new ArgumentException($"'{path}' is no evaluation: it is null.");
        }
        catch (JsonException exception)
        {
            throw new ArgumentException($"'{path}' is no evaluation: {exception.Message}", exception);
        }
    }
}
