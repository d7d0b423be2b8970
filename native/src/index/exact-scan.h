// Every visible cell scored: the simplest search there is.
#pragma once

#include "cell-filter.h"
#include "search-scratch.h"
#include "vectors.h"

namespace ann_idx {

// Scores scratch.cells against scratch.query and adds them to scratch.top_k; empties the list, returns how many it held.
int32_t score_batch(const vector_rows & rows, search_scratch & scratch);

// Adds the cells of a set that the filter lets through to scratch.top_k, scored against scratch.query.
void exact_scan(const vector_rows & rows, const cell_bits & cells, const cell_filter & filter, search_scratch & scratch);

}  // namespace ann_idx
