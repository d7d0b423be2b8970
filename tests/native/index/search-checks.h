// Searches of tests, and how results are compared.
#pragma once

#include "index-set.h"
#include "index.h"
#include "search-scratch.h"

#include <algorithm>
#include <set>
#include <vector>

namespace ann_test {

using found_cells = std::vector<ann_idx::scored_cell>;

inline found_cells search(const ann_idx::ann_index & index, const float * query, int top_k, int ef, const ann_idx::cell_filter & filter) {
    ann_idx::search_scratch scratch;
    found_cells         out;
    index.search({ query, top_k, ef, filter }, scratch, out);
    return out;
}

inline found_cells search(const ann_idx::index_set & set, const float * query, int top_k, int ef, const ann_idx::cell_filter & filter) {
    ann_idx::search_scratch scratch;
    found_cells         out;
    set.search({ query, top_k, ef, filter }, scratch, out);
    return out;
}

inline bool equal(const found_cells & a, const found_cells & b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const ann_idx::scored_cell & x, const ann_idx::scored_cell & y) {
        return x.cell == y.cell && x.score == y.score;
    });
}

inline bool is_ranked(const found_cells & found) {
    return std::is_sorted(found.begin(), found.end());
}

inline bool has_no_repeats(const found_cells & found) {
    std::set<int32_t> cells;
    for (const ann_idx::scored_cell & hit : found) {
        cells.insert(hit.cell);
    }
    return cells.size() == found.size();
}

inline bool contains(const found_cells & found, int32_t cell) {
    return std::any_of(found.begin(), found.end(), [&](const ann_idx::scored_cell & hit) { return hit.cell == cell; });
}

inline size_t n_common(const found_cells & a, const found_cells & b) {
    std::set<int32_t> cells;
    for (const ann_idx::scored_cell & hit : a) {
        cells.insert(hit.cell);
    }
    return size_t(std::count_if(b.begin(), b.end(), [&](const ann_idx::scored_cell & hit) { return cells.count(hit.cell) > 0; }));
}

// Every score is the row's as it is now.
inline bool has_current_scores(const found_cells & found, const ann_idx::vector_rows & rows, const float * query) {
    ann_idx::dot_query prepared;
    prepared.assign(rows, query);
    return std::all_of(found.begin(), found.end(), [&](const ann_idx::scored_cell & hit) {
        float score = 0;
        ann_idx::dot_scores(prepared, rows, &hit.cell, 1, &score);
        return score == hit.score;
    });
}

}  // namespace ann_test
