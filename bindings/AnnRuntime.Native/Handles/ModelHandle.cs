using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace AnnRuntime.Native;

/// <summary>Owns a loaded model.</summary>
internal sealed unsafe partial class ModelHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    /// <summary>Loads a file on the calling thread.</summary>
    /// <param name="path">A model file.</param>
    /// <param name="parameters">From <see cref="AnnModelParams.Default"/>.</param>
    /// <param name="progress">Called on the calling thread with 0..1; what it throws cancels the load and is rethrown.</param>
    /// <param name="cancellationToken">Cancels between two reports of progress.</param>
    public static ModelHandle Load(
        string path, AnnModelParams parameters, Action<float>? progress, CancellationToken cancellationToken)
    {
        NativeLibraryLoader.EnsureLoaded();
        cancellationToken.ThrowIfCancellationRequested();
        byte[] utf8 = NativeText.ToZeroTerminated(path, nameof(path));
        var state = new LoadState(progress, cancellationToken);
        GCHandle user = GCHandle.Alloc(state);
        try
        {
            parameters.Progress = &OnProgress;
            parameters.ProgressUserData = (void*)GCHandle.ToIntPtr(user);
            AnnError error = AnnError.New();
            ModelHandle model;
            AnnStatus status;
            fixed (byte* file = utf8)
            {
                status = NativeMethods.ModelLoad(file, ref parameters, out model, ref error);
            }

            if (state.Failure is not null || status != AnnStatus.Ok || model.IsInvalid)
            {
                model.Dispose();
                state.Failure?.Throw();
                NativeCall.ThrowIfFailed(status, in error, cancellationToken);
                throw new AnnRuntimeException($"The native library loaded '{path}' without an error and without a model.");
            }

            return model;
        }
        finally
        {
            user.Free();
        }
    }

    /// <summary>Shape of the model.</summary>
    public AnnModelInfo GetInfo()
    {
        var info = new AnnModelInfo { StructSize = (uint)sizeof(AnnModelInfo) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.ModelGetInfo(this, ref info, ref error), in error);
        return info;
    }

    /// <summary>Layers with search projections, ascending.</summary>
    public int[] GetSearchLayers(int count)
    {
        int[] layers = new int[count];
        nuint written = 0;
        AnnError error = AnnError.New();
        fixed (int* target = layers)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.ModelGetSearchLayers(this, target, (nuint)count, &written, ref error), in error);
        }

        return layers;
    }

    /// <summary>JSON of what the library knows of the file.</summary>
    public string Describe() => NativeText.Read(
        (byte* buffer, nuint capacity, nuint* written, ref AnnError error) =>
            NativeMethods.ModelDescribe(this, buffer, capacity, written, ref error));

    protected override bool ReleaseHandle()
    {
        NativeMethods.ModelFree(handle);
        return true;
    }

    [UnmanagedCallersOnly]
    private static int OnProgress(float progress, void* userData)
    {
        var state = (LoadState)GCHandle.FromIntPtr((nint)userData).Target!;
        try
        {
            state.Report?.Invoke(progress);
            return state.CancellationToken.IsCancellationRequested ? 0 : 1;
        }
        catch (Exception exception)
        {
            state.Failure = ExceptionDispatchInfo.Capture(exception);
            return 0;
        }
    }

    private sealed class LoadState(Action<float>? report, CancellationToken cancellationToken)
    {
        public Action<float>? Report { get; } = report;

        public CancellationToken CancellationToken { get; } = cancellationToken;

        public ExceptionDispatchInfo? Failure { get; set; }
    }
}
