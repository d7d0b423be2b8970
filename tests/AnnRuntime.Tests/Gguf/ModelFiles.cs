using AnnRuntime.Gguf;
using Xunit;

namespace AnnRuntime.Tests.Gguf;

/// <summary>Merge, split and synth under the token of the running test.</summary>
internal static class ModelFiles
{
    public static ModelFileReport Merge(
        string basePath, string projections, string output, MergeOptions? options = null) =>
        ModelMerger.Merge(
            basePath, projections, output, options ?? new MergeOptions(), null, TestContext.Current.CancellationToken);

    public static ModelFileReport Split(string model, string projections, string? basePath = null) =>
        ModelSplitter.Split(model, projections, basePath, false, null, TestContext.Current.CancellationToken);

    public static ModelFileReport Synth(string path, SyntheticOptions options) =>
        SyntheticModel.Write(path, options, null, TestContext.Current.CancellationToken);
}
