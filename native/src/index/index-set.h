// The index of one layer and stream as a cache uses it: never stale, grown in pieces, split over threads.
#pragma once

#include "hnsw-index.h"
#include "index.h"
#include "pending-cells.h"
#include "search-scratch.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ann_idx {

// n_shards: graphs that the cells are dealt to, cell % n_shards; in [1, 64]. One thread can work on each
struct index_set_params {
    hnsw_params graph;
    int         n_shards = 1;
};

struct index_set_stats {
    index_stats total;
    int32_t     n_pending = 0;
};

// Cells are written, then indexed at leisure: until then they are pending, and every search scans them exactly. So a
// result is always complete, and scored with the rows as they are.
//
// Thread safety: what is marked "one thread" excludes everything else. insert_pending may run for different shards at
// the same time, search for all shards on any number of threads, the two not together. Results and graphs do not depend
// on the number of threads.
//
// Throws std::invalid_argument with name, value and range, for parameters and for cells; nothing has changed then.
class index_set {
  public:
    index_set(const vector_rows & rows, const index_set_params & params);

    int n_shards() const { return int(shards_.size()); }

    const vector_rows & rows() const { return rows_; }

    const index_set_params & params() const { return params_; }

    // One thread. These rows were written, or have changed.
    void mark_written(const int32_t * cells, size_t n);

    // One thread. These cells hold nothing any more. Optional: a filter hides cells as well, but only this makes them
    // count as erased, and keeps a rebuild from indexing them.
    void mark_removed(const int32_t * cells, size_t n);

    // One thread. All known rows have changed: everything is pending.
    void mark_all();

    // One thread. Rows that are not pending have moved alike (as a context shift rotates them): their scores with each other
    // are what they were, so graphs stay.
    void mark_moved();

    // One thread. No cell is known.
    void clear();

    // One thread. The rows were copied from the other set's, which has equal shape and parameters; so is the index.
    void copy_from(const index_set & other);

    int32_t n_pending(int shard) const { return shards_[size_t(shard)].pending.size(); }

    // A search may return it, or it is pending.
    bool contains(int32_t cell) const {
        const shard & of = shards_[size_t(cell % n_shards())];
        return of.graph->contains(cell / n_shards()) || of.pending.bits().test(cell / n_shards());
    }

    // One thread per shard. Indexes at most n_most of a shard's pending cells, oldest first; returns how many.
    int32_t insert_pending(int shard, int32_t n_most, search_scratch & scratch);

    // One thread, which starts up to n_threads and waits for them: indexes all pending cells.
    void build(int n_threads);

    // More than half of the nodes are erased, or more cells were overwritten than there are: then a new graph is twice as
    // fast, or finds more (recall_index at .95 rises by about .02, measured at 32k).
    bool needs_rebuild(int shard) const;

    // One thread per shard. The shard's cells are pending again; build or insert_pending makes the new graph.
    void rebuild(int shard);

    // Appends a shard's part of the answer: its best top_k cells, best first. ef is the whole set's.
    void search_shard(int shard, const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const;

    // Keeps the best top_k of the shards' parts, best first.
    static void merge(std::vector<scored_cell> & found, int top_k);

    // All shards on the calling thread. Replaces out.
    void search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const;

    // The same by an exact scan: what recall_index is measured against. Replaces out.
    void search_exact(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const;

    index_set_stats stats() const;

    // Appends the index, pending cells included, in a versioned format; see index-file.cpp.
    void save(std::vector<uint8_t> & out) const;

    // One thread. Replaces the index by a saved one of the same rows and parameters. False with a sentence when the data
    // is damaged, of another version or not of these rows; the set is as before then.
    bool load(const uint8_t * data, size_t n_bytes, std::string & why_not);

  private:
    struct shard {
        vector_rows                 rows;
        std::unique_ptr<hnsw_index> graph;
        pending_cells               pending;
    };

    void check_cells(const int32_t * cells, size_t n) const;

    vector_rows        rows_;
    index_set_params   params_;
    std::vector<shard> shards_;
};

}  // namespace ann_idx
