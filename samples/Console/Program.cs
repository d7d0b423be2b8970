// Talks with a model in the console:
//
//   dotnet run --project samples/Console -- models/ann-rotated-d64-q8_0.gguf
using AnnRuntime;
using AnnRuntime.Extensions.AI;
using Microsoft.Extensions.AI;

using AnnModel model = await AnnModel.LoadAsync(args is [var path] ? path : "models/ann-rotated-d64-q8_0.gguf");
await using var engine = new GenerationEngine(model);
using IChatClient chat = engine.AsChatClient();

List<Microsoft.Extensions.AI.ChatMessage> conversation = [];
while (Prompt() is { Length: > 0 } line)
{
    conversation.Add(new(ChatRole.User, line));
    List<ChatResponseUpdate> updates = [];
    await foreach (ChatResponseUpdate update in chat.GetStreamingResponseAsync(conversation, new() { MaxOutputTokens = 256 }))
    {
        Console.Write(update.Text);
        updates.Add(update);
    }

    conversation.AddMessages(updates);
    UsageDetails usage = updates.ToChatResponse().Usage!;
    Console.WriteLine($"\n({usage.InputTokenCount} tokens, {usage.CachedInputTokenCount} of them cached)");
}

static string? Prompt()
{
    Console.Write("> ");
    return Console.ReadLine();
}
