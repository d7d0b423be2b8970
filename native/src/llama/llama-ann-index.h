// HNSW indexes over the search keys of a cache: one for each searched layer and stream.
#pragma once

#include "llama-ann.h"

#include "index-set.h"

#include <atomic>
#include <map>
#include <memory>
#include <vector>

class llama_kv_cache;
struct ggml_context;
struct ggml_tensor;

// Cells are marked when they are written and enter the graphs inside the graph of the same ubatch, spread over the CPU
// threads by shards; what is not in a graph yet is scanned exactly. The mask of every query filters what is found, so
// removed cells and other sequences never show; marking them as empty only keeps the graphs small.
class llama_ann_index {
public:
    // twin: the cache of search keys, in host memory, which outlives the index
    llama_ann_index(const llama_kv_cache & twin, const llama_ann_params & params);

    // The graph this search uses: of few queries a stream. More (prompts) are faster by exact search.
    static constexpr int64_t max_queries = 4;

    void mark_written(uint32_t stream, const std::vector<uint32_t> & cells);

    // Every cell that holds something and is not known is marked as written (after a state was read).
    void mark_unknown();

    // Cells that hold nothing any more leave the graphs; graphs of too many such cells are made anew.
    void mark_emptied();

    // Cells whose row was rotated otherwise than most of its stream. Rotated together, keys keep their products.
    void mark_shifted();

    void copy_stream(uint32_t src, uint32_t dst);
    void clear();

    // Everything pending, at once.
    void build(int n_threads);

    // mask: [n_kv, n_tokens, 1, n_stream] f32 | f16
    // res:  [.., n_tokens, 1, n_stream] i32: a bit for each visible cell, then counts; for build_search
    static ggml_tensor * build_visible(ggml_context * ctx, ggml_tensor * mask);

    // As ggml_ann_topk, of the cells that an index of ef_search finds. Inserts some pending cells first.
    ggml_tensor * build_search(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * visible,
            ggml_tensor * always, int32_t top_k, int32_t il);

    // Inserts pending cells: about as many as the ubatch has tokens.
    ggml_tensor * build_insert(ggml_context * ctx, int64_t n_tokens, int32_t il);

    void set_params(const llama_ann_params & value);

    llama_ann_index_stats stats(int32_t il) const;
    void                  reset_stats();

    size_t memory_bytes() const;

    // true once an op ran out of memory, until clear()
    bool has_failed() const { return failed.load(); }

private:
    struct layer {
        llama_ann_index   * owner;
        const ggml_tensor * keys; // [n_embd_search, n_cells, n_stream]

        std::vector<ann_idx::index_set>               sets;    // [n_stream]
        std::vector<ann_idx::search_scratch>          scratch; // [n_shards]
        std::vector<std::vector<ann_idx::scored_cell>> parts;  // [n_queries][n_shards]
        std::atomic<int>                              n_done { 0 };

        std::vector<uint64_t> n_scored; // [n_shards], by searches; insertions compare keys too
        uint64_t n_visible = 0;         // to the queries of these searches

        // recall_index, sampled while statistics measure
        uint64_t n_measured = 0;
        double   recall     = 0;
    };

    static void run_visible(ggml_tensor * dst, int ith, int nth, void * user_data);
    static void run_search (ggml_tensor * dst, int ith, int nth, void * user_data);
    static void run_insert (ggml_tensor * dst, int ith, int nth, void * user_data);

    static void search_shard(layer & l, const ggml_tensor * dst, int shard);
    static void merge(layer & l, ggml_tensor * dst);

    const llama_kv_cache & twin;

    int32_t n_shards;
    int32_t ef_search;
    bool    measure = false;

    std::map<int32_t, std::unique_ptr<layer>> layers;
    std::vector<ann_idx::cell_bits>           known; // [n_stream], cells that are in a graph or pending

    std::atomic<bool> failed { false };
};
