using System.Text;
using AnnRuntime.Server.Protocol;

namespace AnnRuntime.Server.Endpoints;

/// <summary>The format of /v1/completions.</summary>
internal sealed class TextFormat : IAnswerFormat
{
    public string IdPrefix => "cmpl";

    public string Object => "text_completion";

    public string ChunkObject => "text_completion";

    public bool HasToolCalls => false;

    public Choice Whole(GenerationResult result) => new() { Text = result.Text };

    public Choice? Begin() => null;

    public Choice? Delta(StringBuilder all, string added) => added.Length == 0 ? null : new Choice { Text = added };

    public Choice End(GenerationResult result) => new() { Text = "" };
}
