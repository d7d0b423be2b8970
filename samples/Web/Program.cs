// A web application with OpenAI's API and the page that shows retrieval:
//
//   dotnet run --project samples/Web -- --Model models/ann-rotated-d64-q8_0.gguf --urls http://127.0.0.1:8080
using AnnRuntime;
using AnnRuntime.Server;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
using AnnModel model = await AnnModel.LoadAsync(builder.Configuration["Model"] ?? "models/ann-rotated-d64-q8_0.gguf");
await using var engine = new GenerationEngine(model);

WebApplication app = builder.Build();
app.MapAnnRuntime(engine);
await app.RunAsync();
