using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>The functions of <c>ann-train.h</c>.</summary>
internal static unsafe partial class NativeMethods
{
    [LibraryImport(Library, EntryPoint = "ann_train_params_default")]
    public static partial void TrainParamsDefault(ref AnnTrainParams parameters);

    [LibraryImport(Library, EntryPoint = "ann_train_create")]
    public static partial AnnStatus TrainCreate(
        ModelHandle model, ref AnnTrainParams parameters, out TrainHandle train, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_free")]
    public static partial void TrainFree(nint train);

    [LibraryImport(Library, EntryPoint = "ann_train_get_params")]
    public static partial AnnStatus TrainGetParams(TrainHandle train, ref AnnTrainParams parameters, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_window")]
    public static partial AnnStatus TrainWindow(
        TrainHandle train, int* tokens, nuint count, int* marked, nuint markedCount, ref AnnTrainReport report,
        double* loss, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_evaluate")]
    public static partial AnnStatus TrainEvaluate(
        TrainHandle train, int* tokens, nuint count, int topK, int every, double* mass, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_abort")]
    public static partial void TrainAbort(TrainHandle train);

    [LibraryImport(Library, EntryPoint = "ann_train_get_tensor")]
    public static partial AnnStatus TrainGetTensor(
        TrainHandle train, int index, int tensor, float* values, nuint count, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_set_tensor")]
    public static partial AnnStatus TrainSetTensor(
        TrainHandle train, int index, int tensor, float* values, nuint count, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_train_set_step")]
    public static partial AnnStatus TrainSetStep(TrainHandle train, long step, ref AnnError error);
}
