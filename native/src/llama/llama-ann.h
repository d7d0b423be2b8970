// ANN attention of a context: parameters and what the C ABI and the tests need of it. C++; not for applications.
#pragma once

#include "llama.h"
#include "llama-ann-model.h"

#include <vector>

enum llama_ann_mode {
    LLAMA_ANN_MODE_DENSE = 1, // search keys are kept, attention is full
    LLAMA_ANN_MODE_EXACT = 2,
    LLAMA_ANN_MODE_HNSW  = 3, // exact below index_min_context and for prompts
};

// What chooses the cells of a searched layer: the projections, or a published way from K alone, for comparison (CPU).
enum llama_ann_selector {
    LLAMA_ANN_SELECTOR_LEARNED = 0,
    LLAMA_ANN_SELECTOR_ORACLE  = 1, // from here on: ggml_ann_selector + 1, of the model's own queries and keys
    LLAMA_ANN_SELECTOR_PAGES   = 2,
    LLAMA_ANN_SELECTOR_RECENT  = 3,
    LLAMA_ANN_SELECTOR_BIGBIRD = 4,
    LLAMA_ANN_SELECTOR_LSH     = 5,
    LLAMA_ANN_SELECTOR_RANDOM  = 6,
};

// Where search keys are kept, fixed with the cache. Search is computed where they are, attention where K and V are.
enum llama_ann_search_memory {
    LLAMA_ANN_SEARCH_MEMORY_AUTO   = 0, // with K and V; for mode HNSW on the host
    LLAMA_ANN_SEARCH_MEMORY_DEVICE = 1, // with their layer's device
    LLAMA_ANN_SEARCH_MEMORY_HOST   = 2,
};

// Counts are cells per query and layer; all values resolved (no "file's default" left).
struct llama_ann_params {
    llama_ann_mode mode = LLAMA_ANN_MODE_EXACT;

    int32_t top_k    = 0; // everything attended
    int32_t n_sink   = 0;
    int32_t n_window = 0;

    bool    prefill_dense = false; // ubatches of more than one token per sequence attend to all cells
    int32_t min_context   = 0;     // dense while the cache holds fewer cells

    llama_ann_selector selector = LLAMA_ANN_SELECTOR_LEARNED;
    int32_t seed     = 0;          // of selectors with random parts
    int32_t n_frozen = 0;          // > 0: cells from here on are never found, as by an index that stopped growing

    std::vector<uint8_t> layers;   // [n_layer] 1 searched, 0 not; a subset of the model's

    // HNSW
    int32_t ef_search             = 256;   // cells kept in view, of all shards together; at least top_k
    int32_t index_m               = 16;
    int32_t index_ef_construction = 200;
    int32_t index_threads         = 1;     // graphs of a layer and stream: each is grown and searched by one thread
    int32_t index_min_context     = 0;     // exact search while the cache (padded) holds fewer cells
    bool    index_auto            = false; // mode HNSW was chosen by us: exact where it cannot be
    bool    index_eager           = false; // cells enter inside the graphs that write them; else between decodes
    bool    index_in_state        = true;  // saved states carry the index
    uint64_t index_max_bytes      = 0;     // layers beyond search exactly; 0: no limit

    bool measure       = false;    // add ggml_ann_measure to every searched layer
    bool measure_index = false;    // compare the index's answers with those of exact search
    bool count   = false;          // keep llama_ann_counts
};

// Memory of the index of one layer, roughly. n_embd_search: dimension of its search keys
LLAMA_API uint64_t llama_ann_index_bytes(enum ggml_type type_s, int32_t n_embd_search, uint64_t n_cells, int32_t m);

// Of one layer; zeros without an index.
struct llama_ann_index_stats {
    uint64_t n_graphs   = 0; // of the layer and a stream
    uint64_t n_indexed  = 0; // cells in the graphs
    uint64_t n_erased   = 0; // cells still in the graphs that no search returns
    uint64_t n_pending  = 0; // cells that are scanned until they are
    uint64_t n_inserted = 0; // ever
    uint64_t insert_ns  = 0; // of threads, summed, ever
    uint64_t n_searched = 0; // searches of a graph
    uint64_t n_exact    = 0; // of them, those that scanned instead
    uint64_t n_expanded = 0; // cells visited: their links were followed
    uint64_t n_scored   = 0; // search keys compared by searches
    uint64_t n_visible  = 0; // cells visible to the queries of these searches
    uint64_t search_ns  = 0; // of threads, summed
    uint64_t bytes      = 0;
    uint64_t n_measured = 0; // queries with recall
    double   recall_sum = 0; // share of the cells of exact search that were found
};

// The same for every searched layer: visibility does not depend on the layer.
struct llama_ann_counts {
    uint64_t n_query    = 0; // queries that searched
    uint64_t n_dense    = 0; // queries that attended to all cells
    uint64_t n_visible  = 0; // cells visible to the searching queries, summed
    uint64_t n_attended = 0; // cells they attended to, summed
};

// The GPU that the first of the model's offloaded layers lies on; nullptr: none does.
LLAMA_API ggml_backend_dev_t llama_ann_first_gpu(const llama_model * model);

// Creates a context whose cache keeps search keys. Null (with the reason in the log) on failure; throws
// std::runtime_error when the graph of this architecture never reaches the hooks.
LLAMA_API llama_context * llama_ann_init_from_model(llama_model * model, llama_context_params cparams,
        const llama_ann_params & params, ggml_type type_search, llama_ann_search_memory memory = LLAMA_ANN_SEARCH_MEMORY_AUTO);

// Whether a context of these parameters keeps its search keys on the host, as far as that does not hang on the layers' devices.
LLAMA_API bool llama_ann_search_on_host(const llama_ann_params & params, llama_ann_search_memory memory, bool offload_kqv);

LLAMA_API const llama_ann_model & llama_ann_get_model(const llama_model * model);

// Throws std::runtime_error naming the tensor if a projection holds a value that is not finite.
// file: what the model was loaded from
LLAMA_API void llama_ann_check_values(const llama_model * model, const char * file);

// Null / false for a context without search keys.
LLAMA_API const llama_ann_params * llama_ann_get_params(const llama_context * ctx);
LLAMA_API bool llama_ann_set_params(llama_context * ctx, const llama_ann_params & params);

LLAMA_API llama_ann_counts llama_ann_get_counts(const llama_context * ctx);
LLAMA_API void             llama_ann_reset_counts(llama_context * ctx);

LLAMA_API llama_ann_index_stats llama_ann_get_index_stats(const llama_context * ctx, int32_t il);
// Nothing is computed or written until the next call: the index may grow in the background.
LLAMA_API void llama_ann_idle(llama_context * ctx);
// true once the index ran out of memory: what was decoded then attended to nothing. Clearing the memory makes it usable again
LLAMA_API bool llama_ann_index_has_failed(const llama_context * ctx);

struct llama_ann_memory {
    size_t k_bytes      = 0;
    size_t v_bytes      = 0;
    size_t search_bytes = 0;
    size_t index_bytes  = 0;
};
// of any context with a plain K/V cache; zeros for another kind of memory
LLAMA_API llama_ann_memory llama_ann_get_memory(const llama_context * ctx);
// graph and output buffers
LLAMA_API size_t llama_ann_compute_bytes(const llama_context * ctx);
// by formula, for n_cells of every layer; search: with search keys
LLAMA_API llama_ann_memory llama_ann_estimate(const llama_model * model, ggml_type type_k, ggml_type type_v, ggml_type type_search,
        uint64_t n_cells, bool search);

LLAMA_API void llama_ann_head_sizes(const llama_model * model, int32_t * n_embd_head_k, int32_t * n_embd_head_v);
LLAMA_API bool llama_ann_can_shift(const llama_model * model);

// The callback of ggml_backend_sched for the coming graphs; null: none (and no cost).
LLAMA_API void llama_ann_set_eval_callback(llama_context * ctx, ggml_backend_sched_eval_callback callback, void * user_data);

LLAMA_API bool llama_ann_fill_random(llama_context * ctx, uint32_t n_cells, uint64_t seed);

// Cells as positions of a sequence; cells of other sequences are left out.
LLAMA_API std::vector<llama_pos> llama_ann_positions(const llama_context * ctx, llama_seq_id seq, const std::vector<int32_t> & cells);

// Prefixes of the names of graph nodes, followed by the layer: "ann_topk-7".
#define LLAMA_ANN_NODE_TOPK    "ann_topk"
#define LLAMA_ANN_NODE_VISIBLE "ann_visible"
#define LLAMA_ANN_NODE_INSERT  "ann_insert"
#define LLAMA_ANN_NODE_ATTN    "ann_attn"
#define LLAMA_ANN_NODE_MEASURE "ann_measure"
