using Microsoft.Extensions.AI;

namespace AnnRuntime.Extensions.AI;

/// <summary>An engine as a chat client.</summary>
public static class AnnChatClientExtensions
{
    /// <summary>The engine as an <see cref="IChatClient"/>, which does not dispose it.</summary>
    /// <param name="engine">The engine.</param>
    public static IChatClient AsChatClient(this GenerationEngine engine) => new AnnChatClient(engine);
}
