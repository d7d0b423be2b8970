using System.CommandLine;
using System.Globalization;
using AnnRuntime.Gguf;

namespace AnnRuntime.Cli.Commands;

/// <summary>The options by which merge and synth set what a file says about its search.</summary>
internal sealed class SettingsArguments
{
    private readonly Option<int?> _topK = Make.Integer(
        "--top-k", "Cells attended to per query and layer, sinks and window included. Default: the projections', else 128.", 1);

    private readonly Option<string?> _metric = Make.Choice(
        "--metric", "How cells are ranked. Default: the projections', else none is written, which means cosine.", "cosine", "ip");

    private readonly Option<int?> _ropeDimensions = Make.Integer(
        "--rope-dims", "Dimensions of the search vectors that RoPE rotates, 0 for none. Default: the projections', else 0.", 0);

    private readonly Option<float?> _ropeFrequencyBase = new("--rope-freq-base")
    {
        Description = "Base of the rotation's angles. Default: the projections', else 10000.",
        HelpName = "X",
        CustomParser = result =>
        {
            string text = result.Tokens[^1].Value;
            if (float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value))
            {
                return value;
            }

            result.AddError($"--rope-freq-base is '{text}'; it must be a number.");
            return null;
        },
    };

    private readonly Option<int?> _window = Make.Integer(
        "--window", "Last cells, always attended to. Default: the projections', else 0.", 0);

    private readonly Option<int?> _sinks = Make.Integer(
        "--sinks", "First cells, always attended to. Default: the projections', else 0.", 0);

    private readonly Option<string?> _checkpoint = new("--checkpoint")
    {
        Description = "Free text: where the projections come from. Default: the projections', else the name of their file.",
        HelpName = "TEXT",
    };

    private readonly Option<string?> _config = new("--config")
    {
        Description = "Free text: how the projections were trained. Default: the projections'.",
        HelpName = "TEXT",
    };

    /// <summary>Adds the options to a verb.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(_topK);
        command.Options.Add(_metric);
        command.Options.Add(_ropeDimensions);
        command.Options.Add(_ropeFrequencyBase);
        command.Options.Add(_window);
        command.Options.Add(_sinks);
        command.Options.Add(_checkpoint);
        command.Options.Add(_config);
    }

    /// <summary>The settings that were given; the others are null.</summary>
    public AnnSettings Read(ParseResult parse) => new()
    {
        TopK = Given(parse, _topK),
        Metric = parse.GetResult(_metric) is null ? null : parse.GetValue(_metric),
        RopeDimensions = Given(parse, _ropeDimensions),
        RopeFrequencyBase = parse.GetResult(_ropeFrequencyBase) is null ? null : parse.GetValue(_ropeFrequencyBase),
        Window = Given(parse, _window),
        Sinks = Given(parse, _sinks),
        Checkpoint = parse.GetValue(_checkpoint),
        Config = parse.GetValue(_config),
    };

    private static int? Given(ParseResult parse, Option<int?> option) =>
        parse.GetResult(option) is null ? null : parse.GetValue(option);
}
