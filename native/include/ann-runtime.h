// The C ABI of AnnRuntime; with ann-train.h, which has the training, all that the C# bindings know of the native side.
//
// Rules, for every function unless it says otherwise:
//  - fallible functions return ann_status and fill *error (may be NULL) with a sentence that names the argument, the
//    value and the range; on failure nothing has changed
//  - every struct starts with struct_size (bytes, set by the caller or by its *_default function); a smaller size than
//    this header's is accepted and missing fields take their defaults, a larger one is refused
//  - text is UTF-8; strings returned by value are written into a caller's buffer with the call-twice convention:
//    *n_written is the full length without the terminating zero, and ANN_ERROR_BUFFER_TOO_SMALL says that
//    capacity <= *n_written
//  - no C++ exception leaves the library
//
// Thread safety: a model may be used by any number of threads. A context, and the samplers used with it, belong to one
// thread at a time; two simultaneous calls on one context are detected and answered with ANN_ERROR_BUSY.
// ann_context_abort and the ann_context_info/get_* readers marked so may be called from any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#    define ANN_API __declspec(dllexport)
#else
#    define ANN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Bumped whenever a struct or a function changes meaning; ann_abi_version() of the loaded library must be equal.
#define ANN_ABI_VERSION 1

typedef enum ann_status {
    ANN_OK                       = 0,
    ANN_ERROR_INVALID_ARGUMENT   = 1,  // a value out of range, invalid UTF-8, a NULL that must not be
    ANN_ERROR_CANNOT_LOAD        = 2,  // model or library file: missing, truncated, malformed, wrong tensors
    ANN_ERROR_UNSUPPORTED        = 3,  // a valid request that this model or build cannot serve
    ANN_ERROR_OUT_OF_MEMORY      = 4,  // the estimate does not fit, or an allocation failed
    ANN_ERROR_CONTEXT_FULL       = 5,  // no free cells for the batch; the cache is as before
    ANN_ERROR_CANCELLED          = 6,  // a callback or ann_context_abort asked to stop
    ANN_ERROR_BAD_STATE          = 7,  // saved state: foreign, damaged, of another model or of other cache types
    ANN_ERROR_BUSY               = 8,  // another thread is inside this context
    ANN_ERROR_BUFFER_TOO_SMALL   = 9,
    ANN_ERROR_INTERNAL           = 10, // our mistake; the message carries the exception text
} ann_status;

typedef struct ann_error {
    uint32_t struct_size;
    int32_t  status;        // ann_status
    char     message[1016]; // zero-terminated, cut at the end if longer
} ann_error;

typedef struct ann_model   ann_model;
typedef struct ann_context ann_context;
typedef struct ann_sampler ann_sampler;

// ---------------------------------------------------------------------------------------------------------------------
// library

ANN_API uint32_t ann_abi_version(void);

// JSON: {"structs": {"ann_error": {"size": 1024, "fields": {"status": {"offset": 4, "size": 4}, ...}}, ...}} of every
// struct of this header, as compiled. Static storage.
ANN_API const char * ann_abi_describe(void);

// Loads the compute backends (CPU variants, CUDA, HIP) that lie in `directory` (NULL: beside this library) and picks
// the best CPU variant of this machine. Idempotent; implied by the first ann_model_load.
ANN_API ann_status ann_runtime_init(const char * directory, ann_error * error);

// JSON: {"version", "abi", "llama_cpp", "llama_cpp_commit", "build_type", "compiler", "backends": [{"name", "devices":
// [{"name", "description", "type", "memory_free_bytes", "memory_total_bytes"}]}], "cpu": {"AVX2": 1, ...},
// "cpu_variant"}.
ANN_API ann_status ann_runtime_info(char * buffer, size_t capacity, size_t * n_written, ann_error * error);

typedef enum ann_log_level {
    ANN_LOG_NONE  = 0,
    ANN_LOG_DEBUG = 1,
    ANN_LOG_INFO  = 2,
    ANN_LOG_WARN  = 3,
    ANN_LOG_ERROR = 4,
    ANN_LOG_CONT  = 5, // continues the previous message
} ann_log_level;

// Called from any thread, also from compute threads: must not call back into this library. `text` ends with a newline
// unless the message goes on (ANN_LOG_CONT). NULL silences the library. Default: warnings and errors to stderr.
typedef void (*ann_log_callback)(int32_t level, const char * text, void * user_data);
ANN_API void ann_log_set(ann_log_callback callback, void * user_data);

// ---------------------------------------------------------------------------------------------------------------------
// model

// Progress in [0, 1]; return 0 to cancel (ANN_ERROR_CANCELLED). Called on the loading thread.
typedef int32_t (*ann_progress_callback)(float progress, void * user_data);

typedef struct ann_model_params {
    uint32_t struct_size;
    int32_t  n_gpu_layers;   // layers kept on GPUs; -1 all, 0 none. Default -1 (without a GPU: none)
    int32_t  main_gpu;       // device index for single-GPU split. Default 0
    int32_t  split_mode;     // 0 one device, 1 by layer. Default 1
    int32_t  use_mmap;       // 1 map the file (default), 0 read it
    int32_t  use_mlock;      // 1 lock weights in memory. Default 0
    int32_t  check_tensors;  // 1 validate tensor data while loading. Default 0
    int32_t  vocab_only;     // 1 tokenizer and metadata only. Default 0
    ann_progress_callback progress;
    void *                progress_user_data;
} ann_model_params;

ANN_API void       ann_model_params_default(ann_model_params * params);
ANN_API ann_status ann_model_load(const char * path, const ann_model_params * params, ann_model ** model, ann_error * error);
// NULL is allowed. Contexts keep their model alive: the memory goes with the last of them.
ANN_API void       ann_model_free(ann_model * model);

typedef struct ann_model_info {
    uint32_t struct_size;
    int32_t  n_layer;
    int32_t  n_embd;
    int32_t  n_head;
    int32_t  n_head_kv;      // of layer 0
    int32_t  n_embd_head_k;
    int32_t  n_embd_head_v;
    int32_t  n_vocab;
    int32_t  n_ctx_train;
    int32_t  n_layer_search; // layers with search projections; 0: an ordinary model
    int32_t  n_embd_search;  // dims of a search vector, 0 without projections
    int32_t  top_k;          // the file's K, cells attended per query
    int32_t  n_sink;         // the file's default
    int32_t  n_window;       // the file's default
    int32_t  metric;         // 0 cosine, 1 inner product
    int32_t  n_rot_search;   // dims of search vectors that are rotated, 0: none
    float    rope_freq_base_search;
    int32_t  can_shift;      // 1: positions may be shifted (ann_context_seq_add)
    uint64_t n_params;
    uint64_t size_bytes;     // tensor data
} ann_model_info;

ANN_API ann_status ann_model_get_info(const ann_model * model, ann_model_info * info, ann_error * error);

// Layers with search projections, ascending. *n_written is their number.
ANN_API ann_status ann_model_get_search_layers(const ann_model * model, int32_t * layers, size_t capacity, size_t * n_written, ann_error * error);

// JSON for `inspect`: {"description", "architecture", "metadata": {key: text}, "search": {...provenance...},
// "cache_bytes_per_token": {"k", "v", "search"} at the default types}.
ANN_API ann_status ann_model_describe(const ann_model * model, char * buffer, size_t capacity, size_t * n_written, ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// tokenizer

// `text` need not be zero-terminated; invalid UTF-8 is refused with the byte offset. parse_special: special tokens
// written in the text are recognised. *n_written is the number of tokens.
ANN_API ann_status ann_tokenize(const ann_model * model, const char * text, size_t n_bytes, int32_t add_special,
        int32_t parse_special, int32_t * tokens, size_t capacity, size_t * n_written, ann_error * error);

// Raw bytes of one token; they may be part of a UTF-8 sequence. special: write special tokens as text, else nothing.
ANN_API ann_status ann_token_to_piece(const ann_model * model, int32_t token, int32_t special, char * buffer,
        size_t capacity, size_t * n_written, ann_error * error);

// 1 if the token ends a generation (end of sequence, end of turn). An unknown token is none.
ANN_API int32_t ann_token_is_eog(const ann_model * model, int32_t token);
// -1 where the vocabulary has none
ANN_API int32_t ann_token_bos(const ann_model * model);
ANN_API int32_t ann_token_eos(const ann_model * model);

// Applies the model's chat template (jinja). request: {"messages": [{"role", "content", ...}], "tools"?: [...],
// "tool_choice"?, "parallel_tool_calls"?, "add_generation_prompt"?: true, "enable_thinking"?: true, "json_schema"?: {},
// "grammar"?, "template"?: override, "kwargs"?: {}} in OpenAI's shape.
// result: {"prompt", "grammar", "grammar_lazy", "grammar_trigger_patterns": [...], "grammar_trigger_tokens": [...],
// "generation_prompt", "stops": [...], "preserved_tokens": [...],
// "format": int, "parser": text, "template_source"}.
ANN_API ann_status ann_chat_apply(const ann_model * model, const char * request, char * buffer, size_t capacity,
        size_t * n_written, ann_error * error);

// Parses generated text by the format and parser that ann_chat_apply returned: {"role", "content",
// "reasoning_content", "tool_calls": [{"id", "name", "arguments"}]}. is_partial: more text will come.
ANN_API ann_status ann_chat_parse(const char * text, int32_t is_partial, const char * applied, char * buffer,
        size_t capacity, size_t * n_written, ann_error * error);

// JSON schema -> GBNF grammar.
ANN_API ann_status ann_json_schema_to_grammar(const char * schema, char * buffer, size_t capacity, size_t * n_written,
        ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// context

typedef enum ann_search_mode {
    ANN_SEARCH_OFF   = 0, // upstream's cache and attention, bit for bit; no search keys. Fixed at creation
    ANN_SEARCH_DENSE = 1, // search keys are kept, attention is full (on CPUs by kernels of ours)
    ANN_SEARCH_EXACT = 2, // the top_k cells by exact search
    ANN_SEARCH_HNSW  = 3, // queries of generation search an index (approximate), prompts search exactly.
                          // Search keys in host memory only (search_memory)
    ANN_SEARCH_AUTO  = 4, // HNSW from the depth on where it is faster than exact search on this machine (measured once
                          // and kept, see ann_index_calibrate), exact below it and where search keys lie on a GPU
} ann_search_mode;

typedef enum ann_prefill_mode {
    ANN_PREFILL_SPARSE = 0, // every query searches
    ANN_PREFILL_DENSE  = 1, // ubatches of more than one token per sequence attend to all cells
} ann_prefill_mode;

// What chooses the cells of a searched layer. All but the learned one are published ways of choosing them from the
// model's own queries and keys, for comparison: computed naively, on the CPU. One choice for all heads of a layer.
typedef enum ann_selector {
    ANN_SELECTOR_LEARNED = 0, // search queries and search keys
    ANN_SELECTOR_ORACLE  = 1, // the largest attention logit of any head
    ANN_SELECTOR_PAGES   = 2, // Quest: pages of 16 cells, by the bound of their smallest and largest keys
    ANN_SELECTOR_RECENT  = 3, // StreamingLLM, Longformer: sinks and the last cells
    ANN_SELECTOR_BIGBIRD = 4, // BigBird: sinks, half the last cells, half random ones
    ANN_SELECTOR_LSH     = 5, // Reformer: shared buckets of 8 random rotations with 16 buckets each
    ANN_SELECTOR_RANDOM  = 6,
} ann_selector;

// Which cells a query attends to in a searched layer. Counts are cells per query and layer.
typedef struct ann_search_params {
    uint32_t struct_size;
    int32_t  mode;           // ann_search_mode; -1: exact for a model with projections, else off. Default -1
    int32_t  top_k;          // everything attended, sinks and window included; >= 1. 0: the file's. Default 0
    int32_t  n_sink;         // first visible cells, always attended; -1: the file's. Default -1
    int32_t  n_window;       // last visible cells, always attended; -1: the file's. Default -1
    int32_t  prefill;        // ann_prefill_mode. Default sparse
    int32_t  min_context;    // dense while the cache holds fewer cells than this (padded to 256 in a context of several
                             // sequences); -1: top_k. Default -1
    int32_t  n_layers;       // length of `layers`; -1: all the file's layers. Default -1
    const int32_t * layers;  // searched layers, a subset of the file's; copied
    int32_t  selector;       // ann_selector. Default learned
    int32_t  seed;           // of selectors with random parts. Default 0
    int32_t  n_frozen;       // > 0: cells from here on are not found by search, only in the window, as if an index had
                             // stopped growing; computed naively. Default 0
    // modes HNSW and auto only
    int32_t  ef_search;      // cells kept in view, at least top_k, at most 65536; 0: the larger of 320 and top_k. Default 0
    int32_t  index_m;        // links of a cell, 2..128; 0: 16. Default 0
    int32_t  index_ef_construction; // cells kept in view while one is linked, 1..4096; 0: 200. Default 0
    int32_t  index_threads;  // graphs a layer is split into, one thread each, 1..64; 0: physical cores, at most 8. Default 0
    int32_t  index_min_context; // exact search while the cache holds fewer cells than this. 0: mode auto measures it, mode
                             // HNSW has no such depth. Default 0
    int32_t  index_eager;    // 0: cells enter the index while the context is idle (between calls, on index_threads threads of
                             // its own), and until then are scanned exactly; a prompt takes no longer. 1: inside the decode that
                             // writes them, so that the index depends on nothing but the calls. Default 0
    uint64_t index_max_bytes;// memory of the index: layers beyond it search exactly; at least one layer's. 0: no limit. Default 0
    int32_t  index_in_state; // 1: saved states carry the index (about a quarter more bytes), so that it need not be built
                             // again; taken over by a context of equal index parameters and threads only. Default 1
    int32_t  reserved_;
} ann_search_params;

// Where search keys are kept. Search is computed there, attention where K and V are; between them go a token's vectors and
// its list of cells, never a cache.
typedef enum ann_search_memory {
    ANN_SEARCH_MEMORY_AUTO   = 0, // with K and V; on the host for mode HNSW
    ANN_SEARCH_MEMORY_DEVICE = 1, // with their layer's device. K and V on the host (offload_kqv = 0): a context beyond the GPU's
                                  // memory, searched by the GPU
    ANN_SEARCH_MEMORY_HOST   = 2, // K and V on a GPU: an index can be used; the CPU searches, prompts exactly
} ann_search_memory;

// What becomes of the tokens of a sequence in a context with embeddings. In a context with a pooling, a decode holds
// whole sequences, from position 0, of at most n_ubatch tokens in all; longer ones are pooled by the caller, from the
// embeddings of tokens.
typedef enum ann_pooling {
    ANN_POOLING_FILE = -1, // what the file says; none where it says nothing
    ANN_POOLING_NONE = 0,  // an embedding for each token
    ANN_POOLING_MEAN = 1,
    ANN_POOLING_CLS  = 2,  // the first token's
    ANN_POOLING_LAST = 3,
} ann_pooling;

typedef struct ann_context_params {
    uint32_t struct_size;
    uint32_t n_ctx;          // cells in all; 0: the model's training length. Rounded up to 256
    uint32_t n_batch;        // most tokens of one ann_context_decode call. Default 2048
    uint32_t n_ubatch;       // tokens of one graph. Default 512
    uint32_t n_seq_max;      // sequences, 1..256. Default 1
    int32_t  n_threads;      // decode; 0: physical cores. Default 0
    int32_t  n_threads_batch;// prefill; 0: as n_threads. Default 0
    int32_t  flash_attention;// -1 auto, 0 off, 1 on. Default -1
    int32_t  kv_unified;     // 1: sequences share the cells (default), 0: one stream of n_ctx / n_seq_max cells each
    int32_t  offload_kqv;    // 1: K/V live with their layer's device, 0: on the host, where attention is then computed. Default 1
    int32_t  embeddings;     // 1: embeddings instead of logits. Default 0
    int32_t  check_memory;   // 1: refuse when the estimate exceeds the free memory (default), 0: try
    char     type_k[16];     // "f16" (default), "f32", "bf16", "q8_0", "q4_0", ...
    char     type_v[16];     // likewise; quantised types need flash attention
    char     type_search[16];// search keys: "f16" (default), "f32", "q8_0"
    ann_search_params search;
    int32_t  pooling;        // ann_pooling, with embeddings = 1. Default the file's
    int32_t  search_memory;  // ann_search_memory, of search keys; fixed for the context. Default auto
} ann_context_params;

typedef struct ann_context_memory {
    uint32_t struct_size;
    uint32_t n_ctx;          // cells after rounding
    uint64_t k_bytes;
    uint64_t v_bytes;
    uint64_t search_bytes;   // search keys, and the index over them (mode HNSW)
    uint64_t compute_bytes;  // graph and output buffers; 0 in an estimate where unknown
    uint64_t model_bytes;
    uint64_t total_bytes;
    uint64_t available_bytes;// memory free on the host now
} ann_context_memory;

ANN_API void       ann_search_params_default(ann_search_params * params);
ANN_API void       ann_context_params_default(ann_context_params * params);
// What ann_context_create would take, by formula, before anything is allocated.
ANN_API ann_status ann_context_estimate(const ann_model * model, const ann_context_params * params, ann_context_memory * memory, ann_error * error);
ANN_API ann_status ann_context_create(ann_model * model, const ann_context_params * params, ann_context ** context, ann_error * error);
ANN_API void       ann_context_free(ann_context * context);
ANN_API ann_status ann_context_get_memory(ann_context * context, ann_context_memory * memory, ann_error * error);

// Takes effect with the next decode. Mode off cannot be entered or left (it has no search keys).
ANN_API ann_status ann_context_set_search(ann_context * context, const ann_search_params * params, ann_error * error);
// As resolved: no 0 / -1 defaults. `layers` points into the context, valid until the next set.
ANN_API ann_status ann_context_get_search(ann_context * context, ann_search_params * params, ann_error * error);
ANN_API ann_status ann_context_set_threads(ann_context * context, int32_t n_threads, int32_t n_threads_batch, ann_error * error);

typedef struct ann_batch {
    uint32_t        struct_size;
    uint32_t        n_tokens;
    const int32_t * tokens;    // [n_tokens]
    const int32_t * positions; // [n_tokens] or NULL: each sequence goes on at its next position
    const int32_t * sequences; // [n_tokens] or NULL: sequence 0
    const int8_t  * outputs;   // [n_tokens] non-zero: logits wanted; NULL: of the last token only. Embeddings: always of all
} ann_batch;

// Runs the batch. On ANN_ERROR_CONTEXT_FULL nothing was stored. On ANN_ERROR_CANCELLED the tokens of the batch are
// removed again, so the cache is as before.
ANN_API ann_status ann_context_decode(ann_context * context, const ann_batch * batch, ann_error * error);

// Makes a running decode return ANN_ERROR_CANCELLED at its next node (CPU) or ubatch (GPU); a later decode is not
// affected. Any thread.
ANN_API void ann_context_abort(ann_context * context);

// Logits [n_vocab] of the batch's token `index` (its outputs flag must have been set); -1: the last output. Valid until
// the next decode.
ANN_API ann_status ann_context_get_logits(ann_context * context, int32_t index, const float ** logits, size_t * n_logits, ann_error * error);
// Embedding [n_embd] of token `index`, or with a pooling of its sequence (contexts created with embeddings = 1). -1: the
// last output. Not normalised. Valid until the next decode.
ANN_API ann_status ann_context_get_embeddings(ann_context * context, int32_t index, const float ** values, size_t * n_values, ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// sequences: positions p0 (inclusive) to p1 (exclusive); negative p0: from the start, negative p1: to the end.
// Search keys follow K and V in all of them.

ANN_API ann_status ann_context_clear   (ann_context * context, ann_error * error);
ANN_API ann_status ann_context_seq_rm  (ann_context * context, int32_t seq, int32_t p0, int32_t p1, ann_error * error);
ANN_API ann_status ann_context_seq_cp  (ann_context * context, int32_t seq_src, int32_t seq_dst, int32_t p0, int32_t p1, ann_error * error);
ANN_API ann_status ann_context_seq_keep(ann_context * context, int32_t seq, ann_error * error);
// Shifts positions; K and rotated search keys are re-rotated before the next decode.
ANN_API ann_status ann_context_seq_add (ann_context * context, int32_t seq, int32_t p0, int32_t p1, int32_t delta, ann_error * error);
ANN_API ann_status ann_context_seq_div (ann_context * context, int32_t seq, int32_t p0, int32_t p1, int32_t divisor, ann_error * error);
// First and last position of a sequence, -1 when it is empty.
ANN_API ann_status ann_context_seq_range(ann_context * context, int32_t seq, int32_t * p_min, int32_t * p_max, ann_error * error);

// State of one sequence (seq >= 0) or of the whole context (seq -1): a header of ours (magic, version, model shape,
// cache types, search keys or not), the cache, and the index over its search keys (mode HNSW, unless index_in_state is 0;
// of one sequence only where no other one has cells beside it). An index that is damaged or made for other keys or other
// parameters is left aside with a warning, and built anew. *n_written is the size; capacity 0 asks for it.
ANN_API ann_status ann_context_state_get(ann_context * context, int32_t seq, uint8_t * buffer, size_t capacity, size_t * n_written, ann_error * error);
// Refused with a sentence when the header disagrees with this context; after a failure the sequence (or the context)
// is empty.
ANN_API ann_status ann_context_state_set(ann_context * context, int32_t seq, const uint8_t * buffer, size_t n_bytes, ann_error * error);

// Benchmarks: marks cells [0, n_cells) of sequence 0 as used, without computing them: K and V are noise, search keys lie in
// clusters as those of a text do, since an index over noise says nothing. With mode HNSW all of them are indexed before
// this returns. The cache must be empty.
ANN_API ann_status ann_context_fill_random(ann_context * context, uint32_t n_cells, uint64_t seed, ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// statistics

typedef enum ann_stats_flags {
    ANN_STATS_TIME = 1, // time per node kind; every node runs alone, so the whole is slower
    ANN_STATS_MASS = 2, // attention mass and teacher recall of the candidates against full attention of the same query
    ANN_STATS_INDEX = 4, // recall of the index against exact search of the same query (ann_context_get_index_stats)
} ann_stats_flags;

// Switches statistics on (0: off) and resets them. every: with ANN_STATS_MASS or ANN_STATS_INDEX, measure each n-th decode
// call. >= 1.
ANN_API ann_status ann_context_set_stats(ann_context * context, int32_t flags, int32_t every, ann_error * error);

typedef struct ann_layer_stats {
    uint32_t struct_size;
    int32_t  layer;
    int32_t  searched;           // 0: reserved
    int32_t  reserved_;
    uint64_t n_query;            // queries that searched
    uint64_t n_dense;            // queries that attended to all cells
    uint64_t n_visible;          // cells visible to the searching queries, summed
    uint64_t n_attended;         // cells they attended to, summed
    uint64_t n_measured;         // queries with mass and recall
    double   mass_sum;           // over measured queries: mean over heads of the attention mass on the candidates
    double   recall_teacher_sum; // over measured queries: share of the teacher's top min(K, visible) among the candidates
    double   recall_index_sum;   // over measured queries: candidates found by the index against exact search
    uint64_t search_ns;
    uint64_t attention_ns;
    uint64_t n_scored;           // search keys that the searching queries were compared with, summed: by exact search all that
                                 // are visible, by an index those that it met. Also with other selectors: what is visible
} ann_layer_stats;

typedef struct ann_context_stats {
    uint32_t struct_size;
    int32_t  n_layer;
    uint64_t n_decode;           // decode calls
    uint64_t n_tokens;           // tokens computed
    uint64_t decode_ns;          // wall time inside decode
    uint64_t search_ns;          // of it, with ANN_STATS_TIME
    uint64_t attention_ns;       // searched and reserved layers
    uint64_t other_ns;           // everything else (mostly weights)
} ann_context_stats;

ANN_API ann_status ann_context_get_stats(ann_context * context, ann_context_stats * stats, ann_error * error);
ANN_API ann_status ann_context_get_layer_stats(ann_context * context, int32_t layer, ann_layer_stats * stats, ann_error * error);

// The index over the search keys (mode HNSW). Counts of searches begin with ann_context_set_stats or with the index,
// whichever was later, and are kept without statistics too; insertions are counted from the index's beginning. A query
// searches every graph of a layer.
typedef struct ann_index_stats {
    uint32_t struct_size;
    int32_t  layer;          // -1: of all layers, summed
    uint64_t n_graphs;       // per stream
    uint64_t n_indexed;      // cells that a search can return
    uint64_t n_erased;       // cells still in the graphs that it cannot
    uint64_t n_pending;      // cells that wait for their insertion; they are scanned exactly until then
    uint64_t n_inserted;     // insertions, ever
    uint64_t insert_ns;      // time they took, of threads, summed
    uint64_t n_searched;     // searches of one graph
    uint64_t n_exact;        // of them, those that scanned instead: few visible cells, or few cells
    uint64_t n_expanded;     // cells visited, summed: their links were followed
    uint64_t n_scored;       // search keys compared, summed
    uint64_t search_ns;      // time they took, of threads, summed
    uint64_t bytes;          // memory, without the search keys
    uint64_t n_measured;     // queries compared with exact search (ANN_STATS_INDEX or ANN_STATS_MASS)
    double   recall_index_sum; // of these: share of the exact search's cells that the index found
} ann_index_stats;

// layer: -1 all. All zero where there is no index (yet): another mode, a reserved layer, a layer beyond index_max_bytes.
ANN_API ann_status ann_context_get_index_stats(ann_context * context, int32_t layer, ann_index_stats * stats, ann_error * error);

// The depth from which on HNSW is faster than exact search, measured on synthetic keys of that shape on the idle machine;
// takes about a second. What mode auto uses where index_min_context is 0. Measured once: the answer is kept for the
// process, and in a file (below) for those after it, where the processor, the kernels chosen for it and the version of
// this library are the same.
typedef struct ann_index_calibration {
    uint32_t struct_size;
    // asked
    int32_t  n_embd_search;  // 32..1024, a multiple of 32
    int32_t  n_threads;      // 0: physical cores
    int32_t  top_k;          // 0: 128
    int32_t  ef_search;      // 0: the default of ann_search_params
    int32_t  measure_again;  // 1: whatever is known already; contexts made before keep their depth
    char     type_search[16];// "f16", "f32", "q8_0"
    // measured
    int32_t  min_context;    // cells; INT32_MAX when HNSW is nowhere faster below 2^24 cells
    int32_t  n_cells;        // at which was measured:
    double   exact_ns;       // of a query by exact search
    double   hnsw_ns;        // of a query by the index
    double   exact_ns_per_cell; // growth of exact search
    int64_t  measured_at;    // seconds since 1970 (UTC)
    int32_t  from_file;      // 1: by an earlier process
    int32_t  is_kept;        // 1: in the file, for later ones
} ann_index_calibration;

ANN_API ann_status ann_index_calibrate(ann_index_calibration * calibration, ann_error * error);

// Where calibrations are kept: what ann_index_set_calibration_file said; else the environment's ANN_CALIBRATION_FILE ("off":
// nowhere); else ann-runtime/calibration.json in the user's folder of caches (XDG_CACHE_HOME or ~/.cache; ~/Library/Caches;
// LOCALAPPDATA). "" where they are not kept. The file is checked when read (version, checksum, ranges) and replaced as a
// whole; a damaged one counts as none. One that cannot be written is a warning in the log.
ANN_API ann_status ann_index_calibration_file(char * buffer, size_t capacity, size_t * n_written, ann_error * error);

// path: NULL: the default; "": nowhere. What this process has measured so far is forgotten.
ANN_API ann_status ann_index_set_calibration_file(const char * path, ann_error * error);

// The cells that layer `layer` chose for the last token of the last decode, ascending, as positions of that token's
// sequence. Needs ANN_STATS_MASS. Empty for a reserved layer or a dense pass.
ANN_API ann_status ann_context_get_candidates(ann_context * context, int32_t layer, int32_t * positions, size_t capacity, size_t * n_written, ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// capture: what attention gets, for training search projections and for evaluating a selection against full attention

// One layer of one ubatch. Ubatches of a decode follow each other in the order of its tokens, layers within a ubatch
// ascend. The arrays are dense f32 and valid during the callback only.
typedef struct ann_captured {
    uint32_t struct_size;
    int32_t  layer;
    int32_t  n_tokens;    // of this ubatch
    int32_t  n_embd;
    int32_t  n_head;
    int32_t  n_head_kv;   // query head h reads key head h / (n_head / n_head_kv)
    int32_t  n_embd_head;
    float    kq_scale;    // attention logit = kq_scale * dot(q, k)
    float    softcap;     // 0: none; else logit = softcap * tanh(logit / softcap)
    int32_t  reserved_;
    const float * h;      // [n_tokens][n_embd] hidden state entering attention: what projections are applied to
    const float * q;      // [n_tokens][n_head][n_embd_head] after norm and RoPE
    const float * k;      // [n_tokens][n_head_kv][n_embd_head] after norm and RoPE
} ann_captured;

// Called on the decoding thread, which waits. Must not call into the context. Return 0 to stop: the decode answers
// ANN_ERROR_CANCELLED, as after ann_context_abort.
typedef int32_t (*ann_capture_callback)(const ann_captured * captured, void * user_data);

// Hands over every layer of the coming decodes; NULL: no more. Works with any mode (with a searching context the
// hidden states are those of the sparse trajectory) and any model whose attention is llama.cpp's shared K/V-cache
// attention. The context must have n_seq_max 1 and, but for searched layers, flash attention (flash_attention 1).
// Statistics must be off. A decode that cannot be captured fails with ANN_ERROR_UNSUPPORTED and says why.
ANN_API ann_status ann_context_set_capture(ann_context * context, ann_capture_callback callback, void * user_data, ann_error * error);

// ---------------------------------------------------------------------------------------------------------------------
// sampling: penalties, dry, top_n_sigma, top_k, typical_p, top_p, min_p, xtc, temperature, in this order; grammar first

typedef struct ann_sampler_params {
    uint32_t struct_size;
    uint32_t seed;              // 0xFFFFFFFF: random. Default random
    float    temperature;       // <= 0: greedy. Default 0.8
    int32_t  top_k;             // <= 0: off. Default 40
    float    top_p;             // 1: off. Default 0.95
    float    min_p;             // 0: off. Default 0.05
    float    typical_p;         // 1: off. Default 1
    float    top_n_sigma;       // <= 0: off. Default -1
    float    xtc_probability;   // 0: off. Default 0
    float    xtc_threshold;     // Default 0.1
    int32_t  penalty_last_n;    // tokens looked back; 0: off. Default 64
    float    penalty_repeat;    // 1: off. Default 1
    float    penalty_frequency; // 0: off. Default 0
    float    penalty_presence;  // 0: off. Default 0
    float    dry_multiplier;    // 0: off. Default 0
    float    dry_base;          // Default 1.75
    int32_t  dry_allowed_length;// Default 2
    int32_t  dry_penalty_last_n;// Default 64
    int32_t  n_logit_bias;      // length of the two arrays below. Default 0
    int32_t  reserved_;
    const int32_t * logit_bias_tokens;
    const float   * logit_bias_values;
    const char    * grammar;    // GBNF, root symbol "root"; NULL: none
    const char    * grammar_prefix; // text that the grammar begins with and the prompt ends with (the "generation_prompt"
                                // of ann_chat_apply); special tokens are recognised. NULL: none
    // With a trigger the grammar is lazy: the answer is free until its text matches a pattern (ECMAScript, searched
    // anywhere; the grammar begins with the first group, or with the match where there is none) or a token is
    // one of the tokens. grammar_prefix is then not read. Both NULL with 0 (default): the grammar holds from the start.
    const char * const * grammar_trigger_patterns;
    const int32_t      * grammar_trigger_tokens;
    int32_t  n_grammar_trigger_patterns;
    int32_t  n_grammar_trigger_tokens;
} ann_sampler_params;

ANN_API void       ann_sampler_params_default(ann_sampler_params * params);
ANN_API ann_status ann_sampler_create(const ann_model * model, const ann_sampler_params * params, ann_sampler ** sampler, ann_error * error);
ANN_API void       ann_sampler_free(ann_sampler * sampler);
// Chooses from the logits of batch token `index` (-1: the last output) and accepts the token.
ANN_API ann_status ann_sampler_sample(ann_sampler * sampler, ann_context * context, int32_t index, int32_t * token, ann_error * error);
// Tells the sampler of a token that was not sampled (prompt tokens, for penalties). Grammar is not advanced.
ANN_API ann_status ann_sampler_accept(ann_sampler * sampler, int32_t token, ann_error * error);
ANN_API ann_status ann_sampler_reset(ann_sampler * sampler, ann_error * error);

#ifdef __cplusplus
}
#endif
