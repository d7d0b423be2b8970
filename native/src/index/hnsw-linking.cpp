#include "hnsw-linking.h"

#include "prefetch.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace ann_idx {

namespace {

// scratch.chosen = at most `most` of scratch.ranked, so that no chosen cell is nearer to a better chosen one than to
// the cell it is chosen for: links then point in different directions instead of all into the nearest cluster.
void choose_neighbours(const vector_rows & rows, int most, search_scratch & scratch) {
    std::vector<rank_key> & left = scratch.ranked;
    scratch.chosen.clear();
    if (int(left.size()) <= most) {
        for (const rank_key key : left) {
            scratch.chosen.push_back(cell_of(key));
        }
        return;
    }
    while (!left.empty() && int(scratch.chosen.size()) < most) {
        const int32_t best = cell_of(left.front());
        scratch.chosen.push_back(best);
        scratch.cells.clear();
        for (size_t i = 1; i < left.size(); ++i) {
            scratch.cells.push_back(cell_of(left[i]));
        }
        scratch.scores.resize(scratch.cells.size());
        scratch.other.assign_row(rows, best);
        dot_scores(scratch.other, rows, scratch.cells.data(), int(scratch.cells.size()), scratch.scores.data());
        size_t n_left = 0;
        for (size_t i = 1; i < left.size(); ++i) {
            if (scratch.scores[i - 1] <= score_of(left[i])) {
                left[n_left++] = left[i];
            }
        }
        left.resize(n_left);
    }
}

// Adds a link; when the list is full, chooses anew among its cells and the new one.
void link_back(hnsw_graph & graph, int32_t cell, int level, int32_t neighbour, search_scratch & scratch) {
    hnsw_links & links = graph.links;
    if (links.contains(cell, level, neighbour) || links.append(cell, level, neighbour)) {
        return;
    }
    const vector_rows & rows = graph.codes.view();
    const uint32_t *    list = links.list(cell, level);
    scratch.cells.assign(1, neighbour);
    for (int i = 0; i < links.capacity(level); ++i) {
        scratch.cells.push_back(int32_t(list[i] - 1));
    }
    scratch.other.assign_row(rows, cell);
    rank_cells(scratch.other, rows, scratch);
    choose_neighbours(rows, links.capacity(level), scratch);
    links.assign(cell, level, scratch.chosen.data(), int(scratch.chosen.size()));
}

void link_on_level(hnsw_graph & graph, int m, int32_t cell, int level, search_scratch & scratch) {
    choose_neighbours(graph.codes.view(), m, scratch);
    graph.links.assign(cell, level, scratch.chosen.data(), int(scratch.chosen.size()));
    const std::vector<int32_t> neighbours = scratch.chosen;
    for (const int32_t neighbour : neighbours) {
        link_back(graph, neighbour, level, cell, scratch);
    }
}

// Takes a node out of its place on a level: those that linked back lose the link, and each is linked to the nearest of
// the node's other neighbours instead, so that no way through the node is lost.
void unlink_on_level(hnsw_graph & graph, int32_t cell, int level, search_scratch & scratch) {
    hnsw_links &         links = graph.links;
    const vector_rows &  rows  = graph.codes.view();
    std::vector<int32_t> old;
    for (int i = 0; i < links.count(cell, level); ++i) {
        old.push_back(int32_t(links.list(cell, level)[i] - 1));
        prefetch(rows.row(old.back()), row_bytes(rows.type, rows.dim));
    }
    links.assign(cell, level, nullptr, 0);
    for (const int32_t from : old) {
        if (!links.remove(from, level, cell)) {
            continue;
        }
        scratch.other.assign_row(rows, from);
        scratch.scores.resize(old.size());
        dot_scores(scratch.other, rows, old.data(), int(old.size()), scratch.scores.data());
        rank_key best = 0;
        for (size_t i = 0; i < old.size(); ++i) {
            if (old[i] != from && !links.contains(from, level, old[i])) {
                best = std::max(best, key_of(scratch.scores[i], old[i]));
            }
        }
        if (best != 0) {
            links.append(from, level, cell_of(best));
        }
    }
}

// A cell of these whose row equals the cell's own, -1 when there is none. scratch.query is the cell's row.
int32_t find_twin(const hnsw_graph & graph, int32_t cell, const std::vector<rank_key> & near, search_scratch & scratch) {
    float score;
    dot_scores(scratch.query, graph.codes.view(), &cell, 1, &score);
    const size_t bytes = row_bytes(graph.rows.type, graph.rows.dim);
    for (const rank_key key : near) {
        if (key >> 32 == key_of(score, cell) >> 32 &&
            std::memcmp(graph.rows.row(cell_of(key)), graph.rows.row(cell), bytes) == 0) {
            return cell_of(key);
        }
    }
    return -1;
}

// scratch.query = the cell's row: with codes, in eight bits a value as a query has, not in four.
void set_query(const hnsw_graph & graph, int32_t cell, search_scratch & scratch) {
    if (!graph.codes.are_used()) {
        scratch.query.assign_row(graph.rows, cell);
        return;
    }
    scratch.values.resize(size_t(graph.rows.dim));
    row_to_f32(graph.rows, cell, scratch.values.data());
    scratch.query.assign(graph.codes.view(), scratch.values.data());
}

// The cells near scratch.query on each level from 0 to the last given.
std::vector<std::vector<rank_key>> find_near(const hnsw_graph & graph, int ef, int32_t cell, int last, search_scratch & scratch) {
    std::vector<std::vector<rank_key>> near(size_t(last) + 1);
    const int                          top  = graph.links.level(graph.entry);
    int32_t                            from = walk_down(graph, graph.entry, top, last + 1, cell, scratch);
    const walk_rule                    rule = { graph, nullptr, cell };
    for (int level = last; level >= 0; --level) {
        walk_level(rule, from, level, ef, std::numeric_limits<int32_t>::max(), scratch);
        scratch.pool.for_each_counted([&](rank_key key) {
            near[size_t(level)].push_back(key);
            return true;
        });
        from = near[size_t(level)].empty() ? from : cell_of(near[size_t(level)].front());
    }
    return near;
}

// The head of the highest level besides the cell, -1 when there is none.
int32_t other_entry(const hnsw_graph & graph, int32_t cell) {
    int32_t best = -1;
    graph.nodes.for_each([&](int32_t other) {
        const bool may_enter = other != cell && !graph.links.is_follower(other);
        if (may_enter && (best < 0 || graph.links.level(other) > graph.links.level(best))) {
            best = other;
        }
    });
    return best;
}

// Gives a cell without lists its place: in the ring of its twin, or among its neighbours.
void link_head(hnsw_graph & graph, const hnsw_params & params, int32_t cell, search_scratch & scratch) {
    if (graph.entry < 0) {
        graph.entry = cell;
        return;
    }
    const int level = graph.links.level(cell);
    const int top   = graph.links.level(graph.entry);
    set_query(graph, cell, scratch);
    const auto    near = find_near(graph, params.ef_construction, cell, std::min(level, top), scratch);
    const bool    has_followers = graph.links.twin(cell) >= 0;
    const int32_t twin          = has_followers ? -1 : find_twin(graph, cell, near[0], scratch);
    if (twin >= 0) {
        graph.links.follow(cell, twin);
        return;
    }
    for (int l = int(near.size()) - 1; l >= 0; --l) {
        if (!near[size_t(l)].empty()) {
            scratch.ranked = near[size_t(l)];
            link_on_level(graph, params.m, cell, l, scratch);
        }
    }
    if (level > top) {
        graph.entry = cell;
    }
}

}  // namespace

void link_node(hnsw_graph & graph, const hnsw_params & params, int32_t cell, search_scratch & scratch) {
    if (graph.entry == cell) {
        graph.entry = other_entry(graph, cell);
    }
    for (int level = 0; level <= graph.links.level(cell); ++level) {
        unlink_on_level(graph, cell, level, scratch);
    }
    const int32_t heir = graph.links.leave_ring(cell);
    if (heir >= 0) {
        link_head(graph, params, heir, scratch);
    }
    link_head(graph, params, cell, scratch);
}

}  // namespace ann_idx
