// A web application with OpenAI's API, the page that shows retrieval, and an endpoint of its own. appsettings.json says which
// model, how it is searched and what is logged:
//
//   dotnet run --project samples/Web
//   dotnet run --project samples/Web -- --AnnRuntime:main:TopK 64 --urls http://127.0.0.1:8081
using AnnRuntime.Hosting;
using AnnRuntime.Server;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.Extensions.AI;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.AddSerilogFromSettings();
builder.Services.AddAnnRuntime("main");
builder.Services.AddHealthChecks().AddAnnRuntime("main");

WebApplication app = builder.Build();
app.MapHealthChecks("/health/ready", new HealthCheckOptions { Predicate = check => check.Tags.Contains("ready") });
app.MapGet("/ask", async ([FromKeyedServices("main")] IChatClient chat, string question, CancellationToken cancellationToken) =>
    (await chat.GetResponseAsync(question, new() { MaxOutputTokens = 64 }, cancellationToken)).Text);
app.MapAnnRuntime("main");
await app.RunAsync();
