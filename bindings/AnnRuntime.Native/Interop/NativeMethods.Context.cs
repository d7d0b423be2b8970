using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>The functions of a context: decode, sequences, state, statistics.</summary>
internal static unsafe partial class NativeMethods
{
    [LibraryImport(Library, EntryPoint = "ann_search_params_default")]
    public static partial void SearchParamsDefault(ref AnnSearchParams parameters);

    [LibraryImport(Library, EntryPoint = "ann_context_params_default")]
    public static partial void ContextParamsDefault(ref AnnContextParams parameters);

    [LibraryImport(Library, EntryPoint = "ann_context_estimate")]
    public static partial AnnStatus ContextEstimate(
        ModelHandle model, ref AnnContextParams parameters, ref AnnContextMemory memory, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_create")]
    public static partial AnnStatus ContextCreate(
        ModelHandle model, ref AnnContextParams parameters, out ContextHandle context, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_free")]
    public static partial void ContextFree(nint context);

    [LibraryImport(Library, EntryPoint = "ann_context_get_memory")]
    public static partial AnnStatus ContextGetMemory(
        ContextHandle context, ref AnnContextMemory memory, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_set_search")]
    public static partial AnnStatus ContextSetSearch(
        ContextHandle context, ref AnnSearchParams parameters, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_search")]
    public static partial AnnStatus ContextGetSearch(
        ContextHandle context, ref AnnSearchParams parameters, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_set_threads")]
    public static partial AnnStatus ContextSetThreads(
        ContextHandle context, int threads, int batchThreads, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_decode")]
    public static partial AnnStatus ContextDecode(ContextHandle context, ref AnnBatch batch, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_abort")]
    public static partial void ContextAbort(ContextHandle context);

    [LibraryImport(Library, EntryPoint = "ann_context_get_logits")]
    public static partial AnnStatus ContextGetLogits(
        ContextHandle context, int index, float** logits, nuint* count, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_embeddings")]
    public static partial AnnStatus ContextGetEmbeddings(
        ContextHandle context, int index, float** values, nuint* count, ref AnnError error);

    // sequences

    [LibraryImport(Library, EntryPoint = "ann_context_clear")]
    public static partial AnnStatus ContextClear(ContextHandle context, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_rm")]
    public static partial AnnStatus ContextSeqRm(
        ContextHandle context, int sequence, int from, int to, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_cp")]
    public static partial AnnStatus ContextSeqCp(
        ContextHandle context, int source, int target, int from, int to, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_keep")]
    public static partial AnnStatus ContextSeqKeep(ContextHandle context, int sequence, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_add")]
    public static partial AnnStatus ContextSeqAdd(
        ContextHandle context, int sequence, int from, int to, int delta, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_div")]
    public static partial AnnStatus ContextSeqDiv(
        ContextHandle context, int sequence, int from, int to, int divisor, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_seq_range")]
    public static partial AnnStatus ContextSeqRange(
        ContextHandle context, int sequence, out int first, out int last, ref AnnError error);

    // state

    [LibraryImport(Library, EntryPoint = "ann_context_state_get")]
    public static partial AnnStatus ContextStateGet(
        ContextHandle context, int sequence, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_state_set")]
    public static partial AnnStatus ContextStateSet(
        ContextHandle context, int sequence, byte* buffer, nuint bytes, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_fill_random")]
    public static partial AnnStatus ContextFillRandom(
        ContextHandle context, uint cells, ulong seed, ref AnnError error);

    // statistics

    [LibraryImport(Library, EntryPoint = "ann_context_set_stats")]
    public static partial AnnStatus ContextSetStats(ContextHandle context, int flags, int every, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_stats")]
    public static partial AnnStatus ContextGetStats(
        ContextHandle context, ref AnnContextStats statistics, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_layer_stats")]
    public static partial AnnStatus ContextGetLayerStats(
        ContextHandle context, int layer, ref AnnLayerStats statistics, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_index_stats")]
    public static partial AnnStatus ContextGetIndexStats(
        ContextHandle context, int layer, ref AnnIndexStats statistics, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_index_calibrate")]
    public static partial AnnStatus IndexCalibrate(ref AnnIndexCalibration calibration, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_index_calibration_file")]
    public static partial AnnStatus IndexCalibrationFile(byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_index_set_calibration_file")]
    public static partial AnnStatus IndexSetCalibrationFile(byte* path, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_context_get_candidates")]
    public static partial AnnStatus ContextGetCandidates(
        ContextHandle context, int layer, int* positions, nuint capacity, nuint* written, ref AnnError error);
}
