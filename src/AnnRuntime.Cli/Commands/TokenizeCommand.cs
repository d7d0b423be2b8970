using System.CommandLine;
using System.Text;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>tokenize</c>: shows the tokens of a text.</summary>
internal static class TokenizeCommand
{
    public static Command Create()
    {
        var model = new ModelArguments();
        Option<string?> prompt = new("--prompt", "-p") { Description = "The text.", HelpName = "TEXT" };
        Option<string?> file = new("--file", "-f")
        {
            Description = "A file with the text; - reads standard input.",
            HelpName = "FILE",
        };
        Option<bool> json = JsonArgument.Create();
        Command command = new("tokenize", "Shows the tokens of a text: number and characters, one a line.");
        model.AddTo(command);
        command.Options.Add(prompt);
        command.Options.Add(file);
        command.Options.Add(json);
        return command.Runs(async (parse, terminal, cancellationToken) =>
        {
            string text = await PromptText.ReadAsync(parse.GetValue(prompt), parse.GetValue(file), cancellationToken);
            using AnnModel loaded = await model.LoadAsync(parse, terminal, cancellationToken);
            TokenReport[] tokens = [.. loaded.Tokenizer.Tokenize(text).Select(token =>
                new TokenReport(token, Encoding.UTF8.GetString(loaded.Tokenizer.GetBytes(token, special: true))))];
            if (parse.GetValue(json))
            {
                JsonOutput.Write(terminal, new TokenizeReport(loaded.Path, tokens.Length, tokens), types => types.TokenizeReport);
                return ExitCode.Ok;
            }

            foreach (TokenReport token in tokens)
            {
                terminal.Output.WriteLine($"{token.Id,7} '{token.Text.ReplaceLineEndings("\\n")}'");
            }

            terminal.Error.WriteLine($"{tokens.Length} tokens");
            return ExitCode.Ok;
        });
    }
}
