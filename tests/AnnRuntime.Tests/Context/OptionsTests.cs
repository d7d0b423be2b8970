using Xunit;

namespace AnnRuntime.Tests.Context;

/// <summary>Wrong options are refused with the name, the value and the range.</summary>
public sealed class OptionsTests
{
    [Fact]
    public void Search_options_refuse_values_out_of_range()
    {
        Refused(() => new SearchOptions { TopK = 0 }, "TopK is 0; it must be at least 1.");
        Refused(() => new SearchOptions { Sinks = -1 }, "Sinks is -1; it must be at least 0.");
        Refused(() => new SearchOptions { Window = -5 }, "Window is -5; it must be at least 0.");
        Refused(() => new SearchOptions { MinContext = -2 }, "MinContext is -2; it must be at least 0.");
        Refused(() => new SearchOptions { Mode = (SearchMode)7 }, "Mode is 7;");
        Refused(() => new SearchOptions { Prefill = (PrefillMode)(-1) }, "Prefill is -1;");
        Refused(() => new SearchOptions { EfSearch = 0 }, "EfSearch is 0; it must be at least 1.");
        Refused(() => new SearchOptions { IndexLinks = 1 }, "IndexLinks is 1; it must be in 2..128.");
        Refused(() => new SearchOptions { IndexEfConstruction = 5000 }, "IndexEfConstruction is 5000; it must be in 1..4096.");
        Refused(() => new SearchOptions { IndexThreads = 65 }, "IndexThreads is 65; it must be in 1..64.");
        Refused(() => new SearchOptions { IndexMaxBytes = -1 }, "IndexMaxBytes is -1; it must be at least 0.");
    }

    [Fact]
    public void Context_options_refuse_values_out_of_range()
    {
        Refused(() => new ContextOptions { ContextLength = 0 }, "ContextLength is 0; it must be at least 1.");
        Refused(() => new ContextOptions { ContextLength = -8 }, "ContextLength is -8;");
        Refused(() => new ContextOptions { BatchSize = 0 }, "BatchSize is 0;");
        Refused(() => new ContextOptions { UbatchSize = 0 }, "UbatchSize is 0;");
        Refused(() => new ContextOptions { MaxSequences = 257 }, "MaxSequences is 257; it must be in 1..256.");
        Refused(() => new ContextOptions { Threads = -1 }, "Threads is -1;");
        Refused(() => new ContextOptions { KeyType = (CacheType)99 }, "KeyType is 99;");
        Refused(() => new ContextOptions { SearchKeyType = CacheType.Q4_0 }, "SearchKeyType is Q4_0;");
        Refused(() => new ContextOptions { SearchMemory = (SearchMemory)3 }, "SearchMemory is 3; it must be auto (0), device (1) or host (2).");
    }

    [Fact]
    public void Sampling_options_refuse_values_out_of_range()
    {
        Refused(() => new SamplingOptions { Temperature = -0.5f }, "Temperature is -0.5; it must be at least 0.");
        Refused(() => new SamplingOptions { Temperature = float.NaN }, "Temperature is NaN;");
        Refused(() => new SamplingOptions { TopP = 1.5f }, "TopP is 1.5; it must be in 0..1.");
        Refused(() => new SamplingOptions { TopK = -1 }, "TopK is -1; it must be at least 0.");
        Refused(() => new SamplingOptions { FrequencyPenalty = float.PositiveInfinity }, "it must be a finite number.");
    }

    [Fact]
    public void Generation_and_model_options_refuse_values_out_of_range()
    {
        Refused(() => new GenerationOptions { MaxTokens = 0 }, "MaxTokens is 0; it must be at least 1, or null");
        Refused(() => new ModelOptions { GpuLayers = -1 }, "GpuLayers is -1;");
        Refused(() => new ModelOptions { MainGpu = -1 }, "MainGpu is -1;");
        Refused(() => new PasswordPromptOptions { Length = 0 }, "Length is 0;");
        var exception = Assert.Throws<ArgumentException>(() => new GenerationOptions { StopStrings = ["ok", ""] });
        Assert.Contains("A stop string is empty", exception.Message);
    }

    [Fact]
    public void A_batch_refuses_negative_numbers()
    {
        var batch = new Batch();
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Add(-1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Add(1, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Add(1, 0, -1));
        Assert.Equal(0, batch.Count);
        Assert.Equal(0, batch.Add(5, 0));
        Assert.Equal(1, batch.Add(6, 1, wantLogits: true));
        batch.Clear();
        Assert.Equal(0, batch.Count);
    }

    private static void Refused(Func<object> create, string message)
    {
        var exception = Assert.Throws<ArgumentOutOfRangeException>(create);
        Assert.Contains(message, exception.Message);
        Assert.NotNull(exception.ParamName);
    }
}
