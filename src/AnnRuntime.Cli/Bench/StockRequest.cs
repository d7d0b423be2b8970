using System.Text.Json.Serialization;

namespace AnnRuntime.Cli;

/// <summary>One command to <c>stock-bench</c>; members that its command does not know are left out.</summary>
internal sealed record StockRequest(string Cmd)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Model { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TypeK { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TypeV { get; init; }

    public int NCtx { get; init; }
    public int NBatch { get; init; }
    public int NUbatch { get; init; }
    public int Threads { get; init; }
    public int Flash { get; init; }
    public int N { get; init; }
    public int Seed { get; init; }
    public int Pp { get; init; }
    public int Tg { get; init; }
}
