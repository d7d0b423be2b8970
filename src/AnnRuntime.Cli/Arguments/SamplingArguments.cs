using System.CommandLine;

namespace AnnRuntime.Cli;

/// <summary>How tokens are chosen.</summary>
internal sealed class SamplingArguments
{
    private readonly Option<float> _temperature = Make.Number(
        "--temp", "Temperature; 0: always the most likely token.", 0, float.MaxValue, 0.8f);

    private readonly Option<int?> _seed = Make.Integer("--seed", "Makes sampling repeatable. Default: random.", 0);

    public void AddTo(Command command)
    {
        command.Options.Add(_temperature);
        command.Options.Add(_seed);
    }

    /// <summary>The options given.</summary>
    public SamplingOptions Read(ParseResult parse) => new()
    {
        Temperature = parse.GetValue(_temperature),
        Seed = (uint?)parse.GetValue(_seed),
    };
}
