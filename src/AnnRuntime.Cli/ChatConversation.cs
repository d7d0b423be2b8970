using System.Text;

namespace AnnRuntime.Cli;

/// <summary>Reads lines, answers them, and keeps the conversation.</summary>
internal sealed class ChatConversation(
    AnnSession session, string? system, GenerationOptions options, Terminal terminal)
{
    private readonly List<ChatMessage> _messages = [];

    /// <summary>Runs until the input ends or /exit.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        Reset();
        terminal.Error.WriteLine($"{Format.Search(session.Context.Search)}, {session.Context.Cells} cells. "
            + "/reset forgets, /stats shows times, /exit ends, Ctrl-C stops an answer.");
        while (true)
        {
            terminal.Error.Write("> ");
            // a blocked read cannot be cancelled: it is left behind when the program ends
            string? line = await Task.Run(terminal.Input.ReadLine, CancellationToken.None).WaitAsync(cancellationToken);
            switch (line?.Trim())
            {
                case null or "/exit" or "/quit":
                    return;
                case "":
                    break;
                case "/reset":
                    Reset();
                    terminal.Error.WriteLine("The conversation is forgotten.");
                    break;
                case "/stats":
                    WriteStatistics();
                    break;
                case ['/', ..] command:
                    terminal.Error.WriteLine($"'{command}' is no command; there are /reset, /stats and /exit.");
                    break;
                case { } text:
                    await AnswerAsync(text, cancellationToken);
                    break;
            }
        }
    }

    private void Reset()
    {
        _messages.Clear();
        if (system is not null)
        {
            _messages.Add(new ChatMessage("system", system));
        }
    }

    private async Task AnswerAsync(string text, CancellationToken cancellationToken)
    {
        _messages.Add(new ChatMessage("user", text));
        ChatPrompt prompt = session.Context.Model.ChatTemplate.Apply(_messages);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var answer = new StringBuilder();
        try
        {
            using (Interrupt.TakeOver(stop.Cancel))
            {
                await foreach (GeneratedToken token in session.GenerateAsync(
                    prompt.Prompt, options with { StopStrings = prompt.Stops }, cancellationToken: stop.Token))
                {
                    answer.Append(token.Text);
                    terminal.Output.Write(token.Text);
                    terminal.Output.Flush();
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            terminal.Error.Write(" (stopped)");
        }
        catch (ContextFullException exception)
        {
            terminal.Error.WriteLine($"{exception.Message} /reset begins a new conversation.");
            _messages.RemoveAt(_messages.Count - 1);
            return;
        }

        terminal.Output.WriteLine();
        if (session.LastResult?.FinishReason == FinishReason.ContextFull)
        {
            terminal.Error.WriteLine("The context is full; /reset begins a new conversation.");
        }

        _messages.Add(ChatTemplate.Parse(answer.ToString(), prompt, isPartial: true));
    }

    private void WriteStatistics()
    {
        if (session.LastResult is not { } last)
        {
            terminal.Error.WriteLine("Nothing was answered yet.");
            return;
        }

        MemoryEstimate memory = session.Context.Memory;
        terminal.Error.WriteLine(Format.Timings(last.Timings));
        terminal.Error.WriteLine(Format.Search(session.Context.Search));
        terminal.Error.WriteLine(
            $"K/V cache {Format.Bytes(memory.KeyBytes + memory.ValueBytes)}, search keys {Format.Bytes(memory.SearchKeyBytes)}, "
            + $"{memory.Cells} cells");
    }
}
