// Walks over the graph: greedy on the upper levels, best first with a pool on the lowest one and while linking.
#pragma once

#include "cell-filter.h"
#include "hnsw-links.h"
#include "index.h"
#include "row-codes.h"
#include "search-scratch.h"
#include "vectors.h"

#include <cstdint>

namespace ann_idx {

// What an index is made of; entry is -1 while it is empty.
struct hnsw_graph {
    vector_rows rows;
    row_codes   codes;  // of nodes: what walks and linking compare in place of rows
    hnsw_links  links;
    cell_bits   nodes;  // cells with lists
    cell_bits   live;   // nodes a search may return
    int32_t     entry = -1;

    hnsw_graph(const vector_rows & rows_, const hnsw_params & params) :
        rows(rows_),
        codes(rows_),
        links(rows_.n_rows, params.m, params.seed),
        nodes(rows_.n_rows),
        live(rows_.n_rows) {}
};

// Which nodes count towards ef.
struct walk_rule {
    const hnsw_graph &  graph;
    const cell_filter * filter = nullptr;  // a search: live and visible nodes, and those whose twins may be
    int32_t             self   = -1;       // linking: this node's lists still describe its old row, so a walk avoids it

    bool counts(int32_t cell) const {
        if (filter == nullptr) {
            return cell != self && !graph.links.is_follower(cell);
        }
        return (graph.live.test(cell) && filter->visible(cell)) || graph.links.twin(cell) >= 0;
    }
};

// From node `from` on level `top` down to `bottom`, on each level to the node nearest to scratch.query, which is made for
// graph.codes.view() as in every walk.
int32_t walk_down(const hnsw_graph & graph, int32_t from, int top, int bottom, int32_t self, search_scratch & scratch);

// Fills scratch.pool with the ef best nodes that count and were met on this level. Rings are not walked. False when more than max_scored
// nodes were scored, or the pool is full of nodes that do not count: then a scan is cheaper.
bool walk_level(const walk_rule & rule, int32_t from, int level, int ef, int64_t max_scored, search_scratch & scratch);

// scratch.ranked = scratch.cells, best first by the scores of their rows.
void rank_cells(const dot_query & query, const vector_rows & rows, search_scratch & scratch);

}  // namespace ann_idx
