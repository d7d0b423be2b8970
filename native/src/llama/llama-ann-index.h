// HNSW indexes over the search keys of a cache: one for each searched layer and stream.
#pragma once

#include "llama-ann.h"

#include "background-builder.h"
#include "index-set.h"

#include <atomic>
#include <map>
#include <memory>
#include <vector>

class llama_kv_cache;
struct ggml_context;
struct ggml_tensor;

// Cells are marked when they are written. They enter the graphs while nothing is computed, on threads of the index's own,
// or with index_eager inside the graph of the same ubatch; what is in no graph yet is scanned exactly. The mask of every
// query filters what is found, so removed cells and other sequences never show; marking them as empty only keeps the
// graphs small.
//
// Where there is no idle time, queries pay: a pending cell enters inside a graph once queries have scanned it so often
// that inserting it would have been as cheap. So the work is at most twice that of knowing the future.
class llama_ann_index {
public:
    // twin: the cache of search keys, in host memory, which outlives the index
    // Throws std::runtime_error with a sentence when the keys lie elsewhere, or the budget does not reach for one layer.
    llama_ann_index(const llama_kv_cache & twin, const llama_ann_params & params);

    // Search keys in host memory.
    static bool can_serve(const llama_kv_cache & twin);

    // Nothing is computed and no row is written until pause() or another function is called: pending cells may enter. A
    // cache that is less than half as full as an index is wanted for waits.
    void idle();
    void pause() { builder->pause(); }

    // False for a layer beyond the memory budget: it has no index and searches exactly.
    bool has_layer(int32_t il) const { return layers.count(il) != 0; }

    // Of each layer, whether its graphs hold enough to be searched; else an exact search of everything is faster.
    std::vector<bool> ready() const;

    // The graph this search uses: of few queries a stream. More (prompts) are faster by exact search.
    static constexpr int64_t max_queries = 4;

    void mark_written(uint32_t stream, const std::vector<uint32_t> & cells);

    // Every cell that holds something and is not known is marked as written (after a state was read).
    void mark_unknown();

    // Cells that hold nothing any more leave the graphs; graphs of too many such cells are made anew.
    void mark_emptied();

    // Cells whose row is rotated otherwise than most of its stream. Rotated together, keys keep their products.
    // base: the cache that knows the shifts, which the twin has forgotten by now
    void mark_shifted(const llama_kv_cache & base);

    // Rows of these streams are rotated now.
    void mark_rotated(const llama_kv_cache & base);

    void copy_stream(uint32_t src, uint32_t dst);
    void clear();

    // Everything pending, at once.
    void build(int n_threads);

    // visible: [n_kv, n_tokens, 1, n_stream] f32 | f16, a mask, or [2, n_tokens, 1, n_stream] i32, ranges of cells
    // res:     [.., n_tokens, 1, n_stream] i32: a bit for each visible cell, then counts; for build_search
    static ggml_tensor * build_visible(ggml_context * ctx, ggml_tensor * visible, int64_t n_kv);

    // As ggml_ann_topk, of the cells that an index of ef_search finds. Inserts some pending cells first.
    ggml_tensor * build_search(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * visible,
            ggml_tensor * always, int32_t top_k, int32_t il);

    // Inserts pending cells, of a layer that is searched exactly. Null: there is nothing to be done in such a graph.
    ggml_tensor * build_insert(ggml_context * ctx, int64_t n_tokens, int32_t il);

    // A saved index of a stream: one vector a layer, the same until a cell is written or idle() is called. offer() keeps it until the rows are in place, which is when idle() or
    // a batch begins; then it is taken over, or refused with a warning and built anew.
    std::vector<std::pair<int32_t, std::vector<uint8_t>>> save(uint32_t stream) const;
    void offer(int32_t il, uint32_t stream, std::vector<uint8_t> data);
    void take_offers();

    // Every cell that the index knows in this stream is of this sequence.
    bool holds_only(uint32_t stream, llama_seq_id seq) const;

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
        ann_idx::search_scratch                       measure_scratch; // its counters are of no search
        std::vector<std::vector<ann_idx::scored_cell>> parts;  // [n_queries][n_shards]
        std::vector<int64_t>                          debt;    // [n_stream][n_shards] pending cells scanned, not yet paid for
        std::atomic<int>                              n_done { 0 };

        std::vector<uint64_t> n_scored, n_expanded; // [n_shards], by searches; insertions compare keys too
        uint64_t n_visible = 0;         // to the queries of these searches

        // recall_index, sampled while statistics measure
        uint64_t n_measured = 0;
        double   recall     = 0;
    };

    static void run_visible(ggml_tensor * dst, int ith, int nth, void * user_data);
    static void run_search (ggml_tensor * dst, int ith, int nth, void * user_data);
    static void run_insert (ggml_tensor * dst, int ith, int nth, void * user_data);

    static void insert_some(layer & l, size_t stream, int shard, int64_t n_queries);
    static void search_shard(layer & l, const ggml_tensor * dst, int shard);
    static void merge(layer & l, ggml_tensor * dst);

    const llama_kv_cache & twin;

    int32_t n_shards;
    int32_t ef_search;
    int32_t min_context;
    bool    is_eager;
    bool    measure = false;

    std::map<int32_t, std::unique_ptr<layer>> layers;
    std::vector<ann_idx::cell_bits>           known; // [n_stream], cells that are in a graph or pending

    struct saved_index {
        int32_t              il;
        uint32_t             stream;
        std::vector<uint8_t> data;
    };
    std::vector<saved_index> offers;

    std::atomic<bool> failed { false };

    std::unique_ptr<ann_idx::background_builder> builder; // last: its threads end first
};
