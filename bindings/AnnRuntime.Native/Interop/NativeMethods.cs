using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>The functions of <c>ann-runtime.h</c>: library, model, tokenizer, sampler. Nothing else names them.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Library = NativeLibraryLoader.LibraryName;

    [LibraryImport(Library, EntryPoint = "ann_abi_version")]
    public static partial uint AbiVersion();

    [LibraryImport(Library, EntryPoint = "ann_abi_describe")]
    public static partial byte* AbiDescribe();

    [LibraryImport(Library, EntryPoint = "ann_runtime_init")]
    public static partial AnnStatus RuntimeInit(byte* directory, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_runtime_info")]
    public static partial AnnStatus RuntimeInfo(byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_log_set")]
    public static partial void LogSet(delegate* unmanaged<int, byte*, void*, void> callback, void* userData);

    // model

    [LibraryImport(Library, EntryPoint = "ann_model_params_default")]
    public static partial void ModelParamsDefault(ref AnnModelParams parameters);

    [LibraryImport(Library, EntryPoint = "ann_model_load")]
    public static partial AnnStatus ModelLoad(
        byte* path, ref AnnModelParams parameters, out ModelHandle model, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_model_free")]
    public static partial void ModelFree(nint model);

    [LibraryImport(Library, EntryPoint = "ann_model_get_info")]
    public static partial AnnStatus ModelGetInfo(ModelHandle model, ref AnnModelInfo info, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_model_get_search_layers")]
    public static partial AnnStatus ModelGetSearchLayers(
        ModelHandle model, int* layers, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_model_describe")]
    public static partial AnnStatus ModelDescribe(
        ModelHandle model, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    // tokenizer

    [LibraryImport(Library, EntryPoint = "ann_tokenize")]
    public static partial AnnStatus Tokenize(
        ModelHandle model, byte* text, nuint bytes, int addSpecial, int parseSpecial,
        int* tokens, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_token_to_piece")]
    public static partial AnnStatus TokenToPiece(
        ModelHandle model, int token, int special, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_token_is_eog")]
    public static partial int TokenIsEog(ModelHandle model, int token);

    [LibraryImport(Library, EntryPoint = "ann_token_bos")]
    public static partial int TokenBos(ModelHandle model);

    [LibraryImport(Library, EntryPoint = "ann_token_eos")]
    public static partial int TokenEos(ModelHandle model);

    [LibraryImport(Library, EntryPoint = "ann_chat_apply")]
    public static partial AnnStatus ChatApply(
        ModelHandle model, byte* request, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_chat_parse")]
    public static partial AnnStatus ChatParse(
        byte* text, int isPartial, byte* applied, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_json_schema_to_grammar")]
    public static partial AnnStatus JsonSchemaToGrammar(
        byte* schema, byte* buffer, nuint capacity, nuint* written, ref AnnError error);

    // sampler

    [LibraryImport(Library, EntryPoint = "ann_sampler_params_default")]
    public static partial void SamplerParamsDefault(ref AnnSamplerParams parameters);

    [LibraryImport(Library, EntryPoint = "ann_sampler_create")]
    public static partial AnnStatus SamplerCreate(
        ModelHandle model, ref AnnSamplerParams parameters, out SamplerHandle sampler, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_sampler_free")]
    public static partial void SamplerFree(nint sampler);

    [LibraryImport(Library, EntryPoint = "ann_sampler_sample")]
    public static partial AnnStatus SamplerSample(
        SamplerHandle sampler, ContextHandle context, int index, out int token, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_sampler_accept")]
    public static partial AnnStatus SamplerAccept(SamplerHandle sampler, int token, ref AnnError error);

    [LibraryImport(Library, EntryPoint = "ann_sampler_reset")]
    public static partial AnnStatus SamplerReset(SamplerHandle sampler, ref AnnError error);
}
