// The interface of an index over the rows of one stream, and what a search is given.
#pragma once

#include "cell-filter.h"
#include "scored-cell.h"
#include "vectors.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace ann_idx {

class search_scratch;

// query: f32[dim]
// top_k: cells wanted, at least 1
// ef:    cells a graph keeps in view while it searches; raised to top_k. More finds more and takes longer
struct search_request {
    const float * query;
    int           top_k;
    int           ef;
    cell_filter   filter;
};

struct index_stats {
    int32_t n_indexed     = 0;  // cells a search can return
    int32_t n_erased      = 0;  // cells still in the graph that it cannot
    int32_t n_overwritten = 0;  // insertions of a cell that was in the graph, since the last clear
    int64_t n_inserted    = 0;  // insertions, ever
    int64_t insert_ns     = 0;  // time they took
    int64_t memory_bytes  = 0;  // reserved for the index, without the rows
};

// Cells to vectors of the highest inner product with a query.
//
// Thread safety: insert, erase and clear have one thread to themselves; any number of threads may search at the same
// time, each with its own scratch. The rows of indexed cells change only together with an insert of the cell, or the
// next results may miss it; they are never wrong: every score is computed from the row as it is.
class ann_index {
  public:
    virtual ~ann_index() = default;

    // Adds a cell, or moves it to where its row has moved.
    virtual void insert(int32_t cell, search_scratch & scratch) = 0;

    // The cell is not returned any more. Nothing happens to a cell that is not indexed.
    virtual void erase(int32_t cell) = 0;

    virtual void clear() = 0;

    virtual bool contains(int32_t cell) const = 0;

    // Appends the best top_k of the cells that are indexed and visible, best first; fewer only when there are fewer.
    virtual void search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const = 0;

    virtual index_stats stats() const = 0;
};

// Exact: the oracle of every other index.
std::unique_ptr<ann_index> make_flat_index(const vector_rows & rows);

// m:               links of a new cell on each level, up to twice as many on the lowest; in [2, 128]
// ef_construction: cells kept in view while a cell is linked; in [1, 4096]
// seed:            chooses the levels of cells
//
// Equal rows, parameters and order of insertion give equal graphs on processors that use the same kernels.
struct hnsw_params {
    int      m               = 16;
    int      ef_construction = 100;
    uint64_t seed            = 1;
};

// Throws std::invalid_argument that names the field, its value and its range.
void check_params(const hnsw_params & params);

// What such an index reserves, roughly: links of the lowest level, codes of long rows (row-codes.h), and a little.
uint64_t index_bytes(vector_type type, int32_t dim, uint64_t n_cells, int32_t m);

std::unique_ptr<ann_index> make_hnsw_index(const vector_rows & rows, const hnsw_params & params);

}  // namespace ann_idx
