using Microsoft.Win32.SafeHandles;

namespace AnnRuntime.Native;

/// <summary>Owns a context and keeps its model alive.</summary>
internal sealed unsafe partial class ContextHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    private ModelHandle? _model;

    /// <summary>What <see cref="Create"/> would take.</summary>
    public static AnnContextMemory Estimate(ModelHandle model, AnnContextParams parameters, int[]? layers)
    {
        AnnContextMemory memory = NewMemory();
        AnnError error = AnnError.New();
        fixed (int* list = NotEmpty(layers))
        {
            SetLayers(ref parameters.Search, layers, list);
            NativeCall.ThrowIfFailed(
                NativeMethods.ContextEstimate(model, ref parameters, ref memory, ref error), in error);
        }

        return memory;
    }

    /// <summary>Creates a context.</summary>
    /// <param name="model">The model; it lives on until the context is gone.</param>
    /// <param name="parameters">From <see cref="AnnContextParams.Default"/>.</param>
    /// <param name="layers">Searched layers, or null for all the file's.</param>
    public static ContextHandle Create(ModelHandle model, AnnContextParams parameters, int[]? layers)
    {
        AnnError error = AnnError.New();
        ContextHandle context;
        AnnStatus status;
        fixed (int* list = NotEmpty(layers))
        {
            SetLayers(ref parameters.Search, layers, list);
            status = NativeMethods.ContextCreate(model, ref parameters, out context, ref error);
        }

        if (status != AnnStatus.Ok || context.IsInvalid)
        {
            context.Dispose();
            NativeCall.ThrowIfFailed(status, in error);
            throw new AnnRuntimeException("The native library created a context without an error and without a context.");
        }

        HandleParent.Keep(model, ref context._model);
        return context;
    }

    /// <summary>Bytes in use, part by part.</summary>
    public AnnContextMemory GetMemory()
    {
        AnnContextMemory memory = NewMemory();
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetMemory(this, ref memory, ref error), in error);
        return memory;
    }

    /// <summary>Changes the search from the next decode on.</summary>
    public void SetSearch(AnnSearchParams parameters, int[]? layers)
    {
        AnnError error = AnnError.New();
        fixed (int* list = NotEmpty(layers))
        {
            SetLayers(ref parameters, layers, list);
            NativeCall.ThrowIfFailed(NativeMethods.ContextSetSearch(this, ref parameters, ref error), in error);
        }
    }

    /// <summary>The search as resolved, with a copy of its layers.</summary>
    public AnnSearchParams GetSearch(out int[] layers)
    {
        var parameters = new AnnSearchParams { StructSize = (uint)sizeof(AnnSearchParams) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextGetSearch(this, ref parameters, ref error), in error);
        layers = parameters.CopyLayers();
        return parameters;
    }

    /// <summary>Threads of decode and of prefill.</summary>
    public void SetThreads(int threads, int batchThreads)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ContextSetThreads(this, threads, batchThreads, ref error), in error);
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.ContextFree(handle);
        _model?.DangerousRelease();
        return true;
    }

    private static AnnContextMemory NewMemory() => new() { StructSize = (uint)sizeof(AnnContextMemory) };

    private static void SetLayers(ref AnnSearchParams search, int[]? layers, int* list)
    {
        search.NLayers = layers?.Length ?? -1;
        search.Layers = layers is null ? null : list;
    }

    // an empty list still needs an address: it means "no layer", not "all layers"
    private static int[] NotEmpty(int[]? layers) => layers is null or [] ? [0] : layers;
}
