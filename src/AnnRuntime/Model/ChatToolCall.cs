namespace AnnRuntime;

/// <summary>A call of a tool.</summary>
/// <param name="Id">Names the call in the tool's answer; may be empty.</param>
/// <param name="Name">The tool.</param>
/// <param name="Arguments">JSON text.</param>
public sealed record ChatToolCall(string Id, string Name, string Arguments);
