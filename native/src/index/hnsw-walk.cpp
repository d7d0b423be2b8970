#include "hnsw-walk.h"

#include "prefetch.h"

#include <algorithm>
#include <functional>

namespace ann_idx {

namespace {

// One walk's view of the graph; scores are always taken in batches whose rows were asked for beforehand.
class walker {
  public:
    walker(const hnsw_graph & graph, search_scratch & scratch) :
        graph_(graph),
        rows_(graph.codes.view()),
        scratch_(scratch),
        row_bytes_(row_bytes(rows_.type, rows_.dim)) {}

    // Appends the cell's neighbours to scratch.cells, those only that `wants` lets through, and asks for their rows.
    template <class Wants> void collect(int32_t cell, int level, Wants wants) {
        const uint32_t * links    = graph_.links.list(cell, level);
        const uint32_t * end      = links + graph_.links.capacity(level);
        const size_t     n_before = scratch_.cells.size();
        scratch_.cells.resize(n_before + size_t(end - links) + 1);
        int32_t * cells = scratch_.cells.data();
        size_t    n     = n_before;
        for (; links != end && *links != 0; ++links) {
            const int32_t neighbour = int32_t(*links - 1);
            cells[n]                = neighbour;  // kept or overwritten by the next: half are not wanted, at random
            n += wants(neighbour) ? 1 : 0;
        }
        if (level == 0 && graph_.links.is_follower(cell)) {  // an old link led here: on to the head
            const int32_t twin = graph_.links.twin(cell);
            cells[n]           = twin;
            n += wants(twin) ? 1 : 0;
        }
        scratch_.cells.resize(n);
        for (size_t i = n_before; i < n; ++i) {
            prefetch(rows_.row(cells[i]), row_bytes_);
        }
        ++scratch_.counters.n_expanded;
    }

    // scratch.scores = the scores of scratch.cells.
    void score() {
        const int n = int(scratch_.cells.size());
        scratch_.scores.resize(size_t(n));
        dot_scores(scratch_.query, rows_, scratch_.cells.data(), n, scratch_.scores.data());
        scratch_.counters.n_scored += n;
    }

    void prefetch_links(int32_t cell, int level) {
        if (cell >= 0) {
            prefetch(graph_.links.list(cell, level), size_t(graph_.links.capacity(level) + 1) * sizeof(uint32_t));
        }
    }

  private:
    const hnsw_graph &  graph_;
    const vector_rows & rows_;
    search_scratch &    scratch_;
    size_t              row_bytes_;
};

}  // namespace

int32_t walk_down(const hnsw_graph & graph, int32_t from, int top, int bottom, int32_t self, search_scratch & scratch) {
    walker walk(graph, scratch);
    scratch.cells.assign(1, from);
    walk.score();
    rank_key best = key_of(scratch.scores[0], from);
    for (int level = top; level >= bottom; --level) {
        for (int32_t at = -1; at != from;) {
            at = from;
            scratch.cells.clear();
            walk.collect(at, level, [&](int32_t cell) { return cell != self; });
            walk.score();
            for (size_t i = 0; i < scratch.cells.size(); ++i) {
                best = std::max(best, key_of(scratch.scores[i], scratch.cells[i]));
            }
            from = cell_of(best);
        }
    }
    return from;
}

bool walk_level(const walk_rule & rule, int32_t from, int level, int ef, int64_t max_scored, search_scratch & scratch) {
    constexpr int    pool_share = 8;  // the pool may hold 7 nodes that do not count for each one that does
    constexpr int    beam       = 4;  // nodes expanded at once: their rows arrive from memory together
    walker           walk(rule.graph, scratch);
    candidate_pool & pool = scratch.pool;
    pool.reset(ef, pool_share * ef);
    scratch.visited.reset(rule.graph.rows.n_rows);
    scratch.visited.insert(from);
    if (rule.self >= 0) {
        scratch.visited.insert(rule.self);
    }
    scratch.cells.assign(1, from);
    walk.score();
    pool.insert(key_of(scratch.scores[0], from), rule.counts(from));
    const int64_t last = scratch.counters.n_scored + max_scored;
    const auto    is_unseen = [&](int32_t cell) { return scratch.visited.insert(cell); };
    while (pool.peek() >= 0) {
        scratch.cells.clear();
        int32_t heads[beam];
        int     n_heads = 0;
        for (; n_heads < beam && pool.peek() >= 0; ++n_heads) {
            heads[n_heads] = pool.expand_next();
            walk.prefetch_links(heads[n_heads], level);
        }
        for (int i = 0; i < n_heads; ++i) {
            walk.collect(heads[i], level, is_unseen);
        }
        pool.for_each_next(beam, [&](int32_t cell) { walk.prefetch_links(cell, level); });
        walk.score();
        for (size_t i = 0; i < scratch.cells.size(); ++i) {
            const rank_key key = key_of(scratch.scores[i], scratch.cells[i]);
            if (pool.wants(key)) {
                pool.add_to_batch(key, rule.counts(scratch.cells[i]));
                if (pool.is_near_front(key)) {
                    walk.prefetch_links(scratch.cells[i], level);
                }
            }
        }
        pool.merge_batch();
        if (scratch.counters.n_scored > last || pool.has_overflowed()) {
            return false;
        }
    }
    return true;
}

void rank_cells(const dot_query & query, const vector_rows & rows, search_scratch & scratch) {
    const size_t bytes = row_bytes(rows.type, rows.dim);
    const size_t n     = scratch.cells.size();
    for (const int32_t cell : scratch.cells) {
        prefetch(rows.row(cell), bytes);
    }
    scratch.scores.resize(n);
    dot_scores(query, rows, scratch.cells.data(), int(n), scratch.scores.data());
    scratch.ranked.clear();
    for (size_t i = 0; i < n; ++i) {
        scratch.ranked.push_back(key_of(scratch.scores[i], scratch.cells[i]));
    }
    std::sort(scratch.ranked.begin(), scratch.ranked.end(), std::greater<rank_key>());
}

}  // namespace ann_idx
