// K/V cache with one search key per cell.
#pragma once

#include "llama-ann.h"
#include "llama-ann-index.h"
#include "llama-kv-cache.h"

// A llama_kv_cache (K and V, as ever) that owns a second one, the twin: one head of n_embd_search dims, no V, for the
// searched layers. Both have the same cells: every sequence operation goes to both, slots are found once, states are
// written one after the other. The twin never rotates by itself: search keys have their own frequencies (see apply_shift).
class llama_kv_cache_ann : public llama_kv_cache {
public:
    llama_kv_cache_ann(const llama_model & model, const llama_memory_params & params, const llama_cparams & cparams,
            const llama_ann_params & ann, ggml_type type_search, llama_ann_search_memory memory);

    llama_memory_context_ptr init_batch(llama_batch_allocr & balloc, uint32_t n_ubatch, bool embd_all) override;
    llama_memory_context_ptr init_full() override;
    llama_memory_context_ptr init_update(llama_context * lctx, bool optimize) override;

    void clear(bool data) override;

    bool seq_rm  (llama_seq_id seq_id, llama_pos p0, llama_pos p1) override;
    void seq_cp  (llama_seq_id seq_id_src, llama_seq_id seq_id_dst, llama_pos p0, llama_pos p1) override;
    void seq_keep(llama_seq_id seq_id) override;
    void seq_add (llama_seq_id seq_id, llama_pos p0, llama_pos p1, llama_pos shift) override;
    void seq_div (llama_seq_id seq_id, llama_pos p0, llama_pos p1, int d) override;

    std::map<ggml_backend_buffer_type_t, size_t> memory_breakdown() const override;

    // the base's state, then a header (magic, version, dims, type, layers), the twin's, and the index where there is one
    void state_write(llama_io_write_i & io, llama_seq_id seq_id = -1, llama_state_seq_flags flags = 0) const override;
    void state_read (llama_io_read_i  & io, llama_seq_id seq_id = -1, llama_state_seq_flags flags = 0) override;

    // Re-rotates the search keys of shifted cells. To be called before the base applies (and forgets) the shift.
    bool apply_shift(llama_context * lctx) const;

    llama_kv_cache       * get_twin()       { return twin.get(); }
    const llama_kv_cache * get_twin() const { return twin.get(); }

    const llama_ann_model  & get_model()  const { return ann_model; }
    const llama_ann_params & get_params() const { return params; }
    uint64_t                 get_generation() const { return generation; } // changes with the parameters

    void set_params(const llama_ann_params & value); // may make the index

    llama_ann_index * get_index() const { return index.get(); } // null: no mode has needed it yet

    // Before rows of the twin are written or moved.
    void pause_index();

    // The cells of a ubatch, as they were placed: to be indexed.
    void mark_written(const slot_info & sinfo);

    mutable llama_ann_counts counts;

    // to be called before the first find_always of a ubatch
    void forget_sorted() const { sorted_seq = -1; }

    bool is_searched(int32_t il) const { return params.layers[il] != 0; }

    // which layers the graph builder reached; a layer it never reaches cannot be searched
    void mark_hooked(int32_t il) const { hooked[il] = true; }
    bool is_hooked  (int32_t il) const { return hooked[il]; }

    // The cells that query `pos` of sequence `seq` always attends to: the first n_sink and the last n_window visible ones,
    // each once; the rest of res[0 .. n_sink + n_window) is -1. cell: the query's own, where its sequence most likely
    // lies contiguous. Returns the number of visible cells, or -1 if it was not needed (and is not asked for).
    int64_t find_always(llama_seq_id seq, llama_pos pos, uint32_t cell, bool count, int32_t * res) const;

    // True if sequence `seq` lies contiguous up to position `pos`, its cell being `cell`: the query there sees the cells
    // range[0] <= j < range[1] and no others. Looks at every cell once, then at new ones.
    bool find_range(llama_seq_id seq, llama_pos pos, uint32_t cell, int32_t * range) const;

    // Benchmarks: cells [0, n) hold sequence 0 at positions [0, n), with random contents. The cache must be empty.
    bool fill_random(uint32_t n, uint64_t seed);

private:
    const llama_ann_model & ann_model;

    llama_hparams hparams_twin; // the twin keeps a reference to it

    std::unique_ptr<llama_kv_cache> twin;

    std::unique_ptr<llama_ann_index> index;
    mutable bool                     has_emptied = false; // since the last ubatch, perhaps

    llama_ann_params params;
    uint64_t         generation = 0;

    mutable std::vector<bool> hooked;

    // positions and cells of one sequence, ascending; valid for one ubatch
    mutable std::vector<std::pair<llama_pos, int32_t>> sorted;
    mutable llama_seq_id                               sorted_seq = -1;

    // what find_range knows of a sequence: cells [first, first + n) hold it at positions p_min ... in order, no cell beyond
    // them does, but for those of later positions
    struct contiguous_cells {
        bool      known     = false;
        bool      scattered = false;
        uint32_t  first     = 0;
        uint32_t  n         = 0;
        llama_pos p_min     = 0;
    };
    mutable std::vector<contiguous_cells> contiguous; // [n_seq]

    void forget_contiguous() { contiguous.assign(contiguous.size(), {}); }
    void shorten_contiguous(llama_seq_id seq, llama_pos p0);
    void forget_emptied() const;

    bool find_always_contiguous(llama_seq_id seq, llama_pos pos, uint32_t cell, int32_t * res) const;

    void state_write_index(llama_io_write_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) const;
    void state_read_index(llama_io_read_i & io, llama_seq_id seq_id);
    void state_drop(llama_seq_id seq_id);
};

class llama_kv_cache_ann_context : public llama_kv_cache_context {
public:
    explicit llama_kv_cache_ann_context(llama_memory_status status);
    explicit llama_kv_cache_ann_context(llama_kv_cache_ann * kv);
    llama_kv_cache_ann_context(llama_kv_cache_ann * kv, slot_info_vec_t sinfos, std::vector<llama_ubatch> ubatches);

    bool next()  override;
    bool apply() override;

    const llama_kv_cache_ann * get_cache() const { return kv; }
    llama_kv_cache_context   * get_twin()  const { return ctx_twin.get(); }

    bool has_sinfo() const { return i_cur < sinfos.size(); } // false: the graph of an empty batch, for its size only
    const llama_kv_cache::slot_info & get_sinfo() const { return sinfos.at(i_cur); }

    // cells up to the last used one, of the streams that a ubatch touches; n_kv is this, padded
    uint32_t get_n_used(const llama_ubatch & ubatch) const;

private:
    llama_kv_cache_ann * kv = nullptr;

    size_t          i_cur = 0;
    slot_info_vec_t sinfos; // the base's are private

    std::unique_ptr<llama_kv_cache_context> ctx_twin;
};
