using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>chat</c>: a conversation in the model's chat template.</summary>
internal static class ChatCommand
{
    /// <summary>Cells when none are asked for and the model was trained to more.</summary>
    private const int DefaultLength = 8192;

    public static Command Create()
    {
        var model = new ModelArguments();
        Option<string?> system = new("--system") { Description = "A system message. Default: none.", HelpName = "TEXT" };
        Option<int> count = Make.Integer(
            "--tokens", "Most tokens of an answer.", 1, int.MaxValue, 512, "-n");
        var search = new SearchArguments();
        var context = new ContextArguments($"the model's training length, at most {DefaultLength}");
        var sampling = new SamplingArguments();
        Command command = new(
            "chat",
            "Talks with a model in its chat template. /reset forgets the conversation, /stats shows times and search, /exit "
            + "ends; Ctrl-C stops an answer.");
        model.AddTo(command);
        command.Options.Add(system);
        command.Options.Add(count);
        search.AddTo(command);
        context.AddTo(command);
        sampling.AddTo(command);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            using AnnContext created = loaded.CreateContext(
                context.Read(parse, Math.Min(loaded.Info.TrainingLength, DefaultLength), search.Read(parse)));
            await using var session = new AnnSession(created);
            var conversation = new ChatConversation(
                session,
                parse.GetValue(system),
                new GenerationOptions { MaxTokens = parse.GetValue(count), Sampling = sampling.Read(parse) },
                terminal);
            await conversation.RunAsync(cancellationToken);
            return ExitCode.Ok;
        });
    }
}
