// What a search writes to while it runs: one per thread, reused from search to search.
#pragma once

#include "candidate-pool.h"
#include "cell-bits.h"
#include "dot.h"
#include "top-k.h"

#include <cstdint>
#include <vector>

namespace ann_idx {

// Totals of the searches made with one scratch.
struct search_counters {
    int64_t n_searches = 0;
    int64_t n_exact    = 0;  // searches, or shards of one, that scanned instead of walking
    int64_t n_expanded = 0;  // cells whose links were followed
    int64_t n_scored   = 0;  // inner products
    int64_t search_ns  = 0;
};

class search_scratch {
  public:
    dot_query                query;      // what is searched for
    dot_query                other;      // a row compared with other rows
    cell_bits                visited;
    candidate_pool           pool;
    top_k_collector          top_k;
    std::vector<float>       values;     // a row
    std::vector<int32_t>     cells;      // one batch: cells and their scores
    std::vector<float>       scores;
    std::vector<rank_key>    ranked;     // neighbour selection: candidates, best first
    std::vector<int32_t>     chosen;
    std::vector<scored_cell> found;
    search_counters          counters;
};

}  // namespace ann_idx
