using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using AnnRuntime.Native;
using Xunit;

namespace AnnRuntime.Tests.Native;

/// <summary>Every struct of the header has the same size and offsets on both sides.</summary>
public sealed class AbiTests
{
    [Fact]
    public void Structs_have_the_sizes_and_offsets_of_the_library()
    {
        using JsonDocument description = JsonDocument.Parse(NativeRuntime.DescribeAbi());
        var differences = new List<string>();
        var seen = new HashSet<string>();
        foreach (JsonProperty entry in description.RootElement.GetProperty("structs").EnumerateObject())
        {
            string name = ToPascal(entry.Name);
            Type? type = typeof(AnnError).Assembly.GetType($"AnnRuntime.Native.{name}");
            if (type is null)
            {
                differences.Add($"{name} is missing");
                continue;
            }

            seen.Add(name);
            Compare(type, entry.Value, differences);
        }

        Assert.Empty(differences);
        Assert.Equal(
            ["AnnBatch", "AnnCaptured", "AnnContextMemory", "AnnContextParams", "AnnContextStats", "AnnError",
                "AnnIndexCalibration", "AnnIndexStats", "AnnLayerStats", "AnnModelInfo", "AnnModelParams", "AnnSamplerParams", "AnnSearchParams", "AnnTrainParams",
                "AnnTrainReport"],
            seen.Order());
    }

    [Fact]
    public void The_library_has_the_version_of_the_bindings()
    {
        Assert.Equal(RuntimeInfo.NeededAbi, RuntimeInfo.Get().Abi);
    }

    [Fact]
    public void The_defaults_of_the_options_are_the_defaults_of_the_library()
    {
        Assert.Equal(AnnModelParams.Default().UseMmap, new ModelOptions().ToNative().UseMmap);
        Assert.Equal(AnnModelParams.Default().NGpuLayers, new ModelOptions().ToNative().NGpuLayers);
        AnnContextParams context = AnnContextParams.Default();
        AnnContextParams ours = new ContextOptions().ToNative();
        Assert.Equal(
            (context.NCtx, context.NBatch, context.NUbatch, context.NSeqMax, context.NThreads, context.FlashAttention),
            (ours.NCtx, ours.NBatch, ours.NUbatch, ours.NSeqMax, ours.NThreads, ours.FlashAttention));
        Assert.Equal(
            (context.KvUnified, context.OffloadKqv, context.SearchMemory, context.Embeddings, context.CheckMemory, context.Pooling),
            (ours.KvUnified, ours.OffloadKqv, ours.SearchMemory, ours.Embeddings, ours.CheckMemory, ours.Pooling));
        AnnSamplerParams sampler = AnnSamplerParams.Default();
        AnnSamplerParams sampling = new SamplingOptions().ToNative();
        Assert.Equal(
            (sampler.Seed, sampler.Temperature, sampler.TopK, sampler.TopP, sampler.MinP, sampler.TypicalP),
            (sampling.Seed, sampling.Temperature, sampling.TopK, sampling.TopP, sampling.MinP, sampling.TypicalP));
        Assert.Equal(
            (sampler.TopNSigma, sampler.XtcProbability, sampler.XtcThreshold, sampler.PenaltyLastN, sampler.PenaltyRepeat),
            (sampling.TopNSigma, sampling.XtcProbability, sampling.XtcThreshold, sampling.PenaltyLastN, sampling.PenaltyRepeat));
        Assert.Equal(
            (sampler.DryMultiplier, sampler.DryBase, sampler.DryAllowedLength, sampler.DryPenaltyLastN),
            (sampling.DryMultiplier, sampling.DryBase, sampling.DryAllowedLength, sampling.DryPenaltyLastN));
        AnnSearchParams search = AnnSearchParams.Default();
        AnnSearchParams searching = new SearchOptions().ToNative();
        Assert.Equal(
            (search.Mode, search.TopK, search.NSink, search.NWindow, search.Prefill, search.MinContext, search.NLayers),
            (searching.Mode, searching.TopK, searching.NSink, searching.NWindow, searching.Prefill, searching.MinContext,
                searching.NLayers));
        Assert.Equal(
            (search.EfSearch, search.IndexM, search.IndexEfConstruction, search.IndexThreads, search.IndexMinContext,
                search.IndexEager, search.IndexMaxBytes, search.IndexInState),
            (searching.EfSearch, searching.IndexM, searching.IndexEfConstruction, searching.IndexThreads,
                searching.IndexMinContext, searching.IndexEager, searching.IndexMaxBytes, searching.IndexInState));
    }

    private static void Compare(Type type, JsonElement native, List<string> differences)
    {
        int size = Marshal.SizeOf(type);
        int expected = native.GetProperty("size").GetInt32();
        if (size != expected)
        {
            differences.Add($"{type.Name} has {size} bytes, the library's has {expected}");
        }

        JsonElement fields = native.GetProperty("fields");
        FieldInfo[] ours = type.GetFields(BindingFlags.Public | BindingFlags.Instance);
        if (ours.Length != fields.EnumerateObject().Count())
        {
            differences.Add($"{type.Name} has {ours.Length} fields, the library's has {fields.EnumerateObject().Count()}");
        }

        foreach (JsonProperty field in fields.EnumerateObject())
        {
            string name = ToPascal(field.Name);
            if (type.GetField(name) is null)
            {
                differences.Add($"{type.Name}.{name} is missing");
                continue;
            }

            int offset = (int)Marshal.OffsetOf(type, name);
            if (offset != field.Value.GetProperty("offset").GetInt32())
            {
                differences.Add($"{type.Name}.{name} is at {offset}, the library's at {field.Value.GetProperty("offset")}");
            }
        }
    }

    // n_gpu_layers -> NGpuLayers
    private static string ToPascal(string name) =>
        string.Concat(name.Split('_', StringSplitOptions.RemoveEmptyEntries).Select(part => char.ToUpperInvariant(part[0]) + part[1..]));
}
