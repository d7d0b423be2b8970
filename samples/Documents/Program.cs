// Answers many questions about one document. The document is computed once; its cells are kept in DOCUMENT.kv, so that the
// next start only reads them.
//
//   dotnet run --project samples/Documents -- MODEL.gguf DOCUMENT.txt
using System.Diagnostics;
using AnnRuntime;

if (args is not [var modelPath, var documentPath])
{
    Console.Error.WriteLine("Usage: MODEL.gguf DOCUMENT.txt");
    return 2;
}

using AnnModel model = await AnnModel.LoadAsync(modelPath);
int[] document = model.Tokenizer.Tokenize(await File.ReadAllTextAsync(documentPath));
await using var engine = new GenerationEngine(model, new EngineOptions
{
    Context = new ContextOptions { ContextLength = document.Length + 1024, MaxSequences = 2 },
});

string cells = documentPath + ".kv";
var clock = Stopwatch.StartNew();
if (!await TryRestoreAsync())
{
    await engine.CompleteAsync(new GenerationRequest { Prompt = document, Options = new() { MaxTokens = 1 } });
    await engine.SavePrefixAsync(document, cells);
    Console.WriteLine($"Computed {document.Length} tokens in {clock.Elapsed.TotalSeconds:0.0} s and kept them in {cells}.");
}

while (Ask() is { Length: > 0 } question)
{
    int[] prompt = [.. document, .. model.Tokenizer.Tokenize($"\n\nQuestion: {question}\nAnswer:", addSpecial: false)];
    var request = new GenerationRequest
    {
        Prompt = prompt,
        Options = new() { MaxTokens = 128, Sampling = SamplingOptions.Greedy, StopStrings = ["\nQuestion:"] },
    };
    using Generation answer = engine.Submit(request);
    await foreach (GeneratedToken token in answer)
    {
        Console.Write(token.Text);
    }

    Console.WriteLine($"\n(first token after {answer.TimeToFirstToken!.Value.TotalMilliseconds:0} ms)");
}

return 0;

async Task<bool> TryRestoreAsync()
{
    if (!File.Exists(cells))
    {
        return false;
    }

    try
    {
        IReadOnlyList<int> kept = await engine.RestorePrefixAsync(cells);
        Console.WriteLine($"Read {kept.Count} tokens from {cells} in {clock.Elapsed.TotalSeconds:0.0} s.");
        return kept.Take(document.Length).SequenceEqual(document);
    }
    catch (StateException exception)
    {
        Console.WriteLine($"{exception.Message} It is computed again.");
        return false;
    }
}

static string? Ask()
{
    Console.Write("? ");
    return Console.ReadLine();
}
