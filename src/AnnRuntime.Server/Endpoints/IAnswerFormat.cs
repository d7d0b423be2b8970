using System.Text;
using AnnRuntime.Server.Protocol;

namespace AnnRuntime.Server.Endpoints;

/// <summary>How an answer is written: whole, or as the pieces of a stream.</summary>
internal interface IAnswerFormat
{
    string IdPrefix { get; }

    string Object { get; }

    string ChunkObject { get; }

    /// <summary>Whether the answer, once whole, calls tools.</summary>
    bool HasToolCalls { get; }

    Choice Whole(GenerationResult result);

    /// <summary>The first chunk, null for none.</summary>
    Choice? Begin();

    /// <summary>What is new; null for nothing.</summary>
    /// <param name="all">The text so far, the new text included.</param>
    /// <param name="added">The new text.</param>
    Choice? Delta(StringBuilder all, string added);

    /// <summary>The last chunk.</summary>
    Choice End(GenerationResult result);
}
