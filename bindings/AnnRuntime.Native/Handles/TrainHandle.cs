using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace AnnRuntime.Native;

/// <summary>Owns a trainer of search projections and keeps its model alive.</summary>
internal sealed unsafe class TrainHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    private ModelHandle? _model;

    /// <summary>Creates a trainer.</summary>
    /// <param name="model">The model; it lives on until the trainer is gone.</param>
    /// <param name="parameters">From <see cref="AnnTrainParams.Default"/>.</param>
    /// <param name="layers">Layers to train, ascending, or null for all.</param>
    /// <param name="device">Where losses and gradients are computed, or null for the library's choice.</param>
    public static TrainHandle Create(ModelHandle model, AnnTrainParams parameters, int[]? layers, string? device)
    {
        byte[]? name = device is null ? null : [.. Encoding.UTF8.GetBytes(device), 0];
        AnnError error = AnnError.New();
        TrainHandle train;
        AnnStatus status;
        fixed (int* list = layers)
        fixed (byte* text = name)
        {
            parameters.NLayers = layers?.Length ?? -1;
            parameters.Layers = list;
            parameters.Device = text;
            status = NativeMethods.TrainCreate(model, ref parameters, out train, ref error);
        }

        if (status != AnnStatus.Ok || train.IsInvalid)
        {
            train.Dispose();
            NativeCall.ThrowIfFailed(status, in error);
            throw new AnnRuntimeException("The native library created a trainer without an error and without a trainer.");
        }

        HandleParent.Keep(model, ref train._model);
        return train;
    }

    /// <summary>The parameters as resolved, with copies of the layers and the device's name.</summary>
    public AnnTrainParams GetParams(out int[] layers, out string device)
    {
        var parameters = new AnnTrainParams { StructSize = (uint)sizeof(AnnTrainParams) };
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.TrainGetParams(this, ref parameters, ref error), in error);
        layers = new Span<int>(parameters.Layers, parameters.NLayers).ToArray();
        device = Marshal.PtrToStringUTF8((nint)parameters.Device) ?? "";
        return parameters;
    }

    /// <summary>Learns from a window.</summary>
    /// <param name="tokens">The window.</param>
    /// <param name="marked">Rows that are learned from for certain.</param>
    /// <param name="loss">Takes the loss of each layer.</param>
    /// <param name="cancellationToken">Ends it; nothing was learned then.</param>
    public AnnTrainReport Window(
        ReadOnlySpan<int> tokens, ReadOnlySpan<int> marked, Span<double> loss, CancellationToken cancellationToken)
    {
        using CancellationTokenRegistration abort = cancellationToken.Register(Abort);
        var report = new AnnTrainReport { StructSize = (uint)sizeof(AnnTrainReport) };
        AnnError error = AnnError.New();
        fixed (int* text = tokens, rows = marked)
        fixed (double* losses = loss)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.TrainWindow(
                    this, text, (nuint)tokens.Length, rows, (nuint)marked.Length, ref report, losses, ref error),
                in error,
                cancellationToken);
        }

        return report;
    }

    /// <summary>Attention mass that the search keeps, per layer.</summary>
    public void Evaluate(
        ReadOnlySpan<int> tokens, int topK, int every, Span<double> mass, CancellationToken cancellationToken)
    {
        using CancellationTokenRegistration abort = cancellationToken.Register(Abort);
        AnnError error = AnnError.New();
        fixed (int* text = tokens)
        fixed (double* masses = mass)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.TrainEvaluate(this, text, (nuint)tokens.Length, topK, every, masses, ref error),
                in error,
                cancellationToken);
        }
    }

    /// <summary>Copies a tensor out: an index into the trained layers, and which one (ann_train_tensor).</summary>
    public void GetTensor(int index, int tensor, Span<float> values)
    {
        AnnError error = AnnError.New();
        fixed (float* target = values)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.TrainGetTensor(this, index, tensor, target, (nuint)values.Length, ref error), in error);
        }
    }

    /// <summary>Copies a tensor in.</summary>
    public void SetTensor(int index, int tensor, ReadOnlySpan<float> values)
    {
        AnnError error = AnnError.New();
        fixed (float* source = values)
        {
            NativeCall.ThrowIfFailed(
                NativeMethods.TrainSetTensor(this, index, tensor, source, (nuint)values.Length, ref error), in error);
        }
    }

    /// <summary>Says how many updates were made before.</summary>
    public void SetStep(long step)
    {
        AnnError error = AnnError.New();
        NativeCall.ThrowIfFailed(NativeMethods.TrainSetStep(this, step, ref error), in error);
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.TrainFree(handle);
        _model?.DangerousRelease();
        return true;
    }

    private void Abort() => NativeMethods.TrainAbort(this);
}
