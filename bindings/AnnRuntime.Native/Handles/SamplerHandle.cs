using Microsoft.Win32.SafeHandles;

namespace AnnRuntime.Native;

/// <summary>Owns a chain of samplers and keeps its model alive.</summary>
internal sealed unsafe class SamplerHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    private ModelHandle? _model;

    /// <summary>Creates a chain.</summary>
    /// <param name="model">The model whose tokens are sampled.</param>
    /// <param name="parameters">From <see cref="AnnSamplerParams.Default"/>.</param>
    /// <param name="biasTokens">Tokens whose logits are changed.</param>
    /// <param name="biasValues">What is added to each of them.</param>
    /// <param name="grammar">GBNF, or null.</param>
    /// <param name="grammarPrefix">What the grammar begins with and the prompt ends with, or null.</param>
    /// <param name="triggerPatterns">Texts that start a lazy grammar.</param>
    /// <param name="triggerTokens">Tokens that start a lazy grammar.</param>
    public static SamplerHandle Create(
        ModelHandle model, AnnSamplerParams parameters, ReadOnlySpan<int> biasTokens, ReadOnlySpan<float> biasValues,
        string? grammar, string? grammarPrefix, IReadOnlyList<string> triggerPatterns, ReadOnlySpan<int> triggerTokens)
    {
        byte[] triggers = NativeText.ToZeroTerminated(triggerPatterns, nameof(triggerPatterns), out int[] starts);
        byte*[] pointers = new byte*[starts.Length];
        byte[]? utf8 = grammar is null ? null : NativeText.ToZeroTerminated(grammar, nameof(grammar));
        byte[]? prefixUtf8 = grammarPrefix is null ? null : NativeText.ToZeroTerminated(grammarPrefix, nameof(grammarPrefix));
        AnnError error = AnnError.New();
        SamplerHandle sampler;
        AnnStatus status;
        fixed (int* tokens = biasTokens)
        fixed (float* values = biasValues)
        fixed (byte* rules = utf8)
        fixed (byte* prefix = prefixUtf8)
        fixed (byte* pattern = triggers)
        fixed (int* trigger = triggerTokens)
        fixed (byte** patterns = pointers)
        {
            for (int index = 0; index < starts.Length; index++)
            {
                pointers[index] = pattern + starts[index];
            }

            parameters.NLogitBias = biasTokens.Length;
            parameters.LogitBiasTokens = tokens;
            parameters.LogitBiasValues = values;
            parameters.Grammar = rules;
            parameters.GrammarPrefix = prefix;
            parameters.GrammarTriggerPatterns = patterns;
            parameters.GrammarTriggerTokens = trigger;
            parameters.NGrammarTriggerPatterns = starts.Length;
            parameters.NGrammarTriggerTokens = triggerTokens.Length;
            status = NativeMethods.SamplerCreate(model, ref parameters, out sampler, ref error);
        }

        if (status != AnnStatus.Ok || sampler.IsInvalid)
        {
            sampler.Dispose();
            NativeCall.ThrowIfFailed(status, in error);
            throw new AnnRuntimeException("The native library created a sampler without an error and without a sampler.");
        }

        HandleParent.Keep(model, ref sampler._model);
        return sampler;
    }

    /// <summary>Chooses a token from the logits of one output and accepts it.</summary>
    public int Sample(ContextHandle context, int index)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.SamplerSample(this, context, index, out int token, ref error), in error);
        return token;
    }

    /// <summary>Tells the chain of a token that it did not sample.</summary>
    public void Accept(int token)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.SamplerAccept(this, token, ref error), in error);
    }

    /// <summary>Forgets all accepted tokens.</summary>
    public void Reset()
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.SamplerReset(this, ref error), in error);
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.SamplerFree(handle);
        _model?.DangerousRelease();
        return true;
    }
}
