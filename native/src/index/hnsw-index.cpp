#include "hnsw-index.h"

#include "exact-scan.h"
#include "hnsw-linking.h"
#include "stopwatch.h"

#include <stdexcept>
#include <string>

namespace ann_idx {

namespace {

// Measured (d 64 and 128, f16 and q8_0, 32k and 128k rows): a walk scores about m nodes for each cell it keeps in view,
// more in proportion when a filter hides nodes, and a scan scores three rows in the time a walk takes for one, because
// it reads them in order.
constexpr int64_t walk_cost = 3;

bool scan_is_cheaper(int64_t m, int64_t ef, int64_t n_nodes, int64_t n_visible) {
    return walk_cost * m * ef * n_nodes > n_visible * n_visible;
}

// A walk that has scored this many nodes was misjudged; the scan takes over.
int64_t max_scored(int64_t n_visible) {
    return n_visible / 2;
}

// Cells that a search by codes keeps in view besides ef: codes misplace cells by a few ranks. Measured (clustered keys, d 128,
// f16): with 32 recall_index at ef 128 to 512 is that of a search by rows, or better.
constexpr int code_margin = 32;

void require(bool ok, const char * name, long long value, int least, int most) {
    if (!ok) {
        throw std::invalid_argument("hnsw_params." + std::string(name) + " is " + std::to_string(value) +
                                    ", it must be in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
    }
}

}  // namespace

void check_params(const hnsw_params & params) {
    require(params.m >= 2 && params.m <= 128, "m", params.m, 2, 128);
    require(params.ef_construction >= 1 && params.ef_construction <= 4096, "ef_construction", params.ef_construction, 1, 4096);
}

uint64_t index_bytes(vector_type type, int32_t dim, uint64_t n_cells, int32_t m) {
    return n_cells * (8 * uint64_t(m) + 16 + row_codes::bytes_of_row(type, dim));
}

std::unique_ptr<ann_index> make_hnsw_index(const vector_rows & rows, const hnsw_params & params) {
    return std::make_unique<hnsw_index>(rows, params);
}

hnsw_index::hnsw_index(const vector_rows & rows, const hnsw_params & params) :
    params_((check_rows(rows), check_params(params), params)),
    graph_(rows, params) {}

void hnsw_index::insert(int32_t cell, search_scratch & scratch) {
    const stopwatch watch(stats_.insert_ns);
    ++stats_.n_inserted;
    if (!graph_.live.test(cell)) {
        graph_.live.set(cell);
        ++stats_.n_indexed;
        stats_.n_erased -= graph_.nodes.test(cell) ? 1 : 0;
    }
    if (!graph_.nodes.insert(cell)) {
        ++stats_.n_overwritten;
    }
    graph_.codes.encode(graph_.rows, cell, scratch.values);
    link_node(graph_, params_, cell, scratch);
}

void hnsw_index::erase(int32_t cell) {
    if (graph_.live.test(cell)) {
        graph_.live.unset(cell);
        --stats_.n_indexed;
        ++stats_.n_erased;
    }
}

void hnsw_index::take_rows_anew() {
    std::vector<float> values;
    graph_.nodes.for_each([&](int32_t cell) { graph_.codes.encode(graph_.rows, cell, values); });
}

void hnsw_index::clear() {
    graph_.links.clear();
    graph_.nodes.clear();
    graph_.live.clear();
    graph_.entry         = -1;
    stats_.n_indexed     = 0;
    stats_.n_erased      = 0;
    stats_.n_overwritten = 0;
}

bool hnsw_index::walk(const search_request & request, int ef, search_scratch & scratch) const {
    const int32_t n_nodes   = stats_.n_indexed + stats_.n_erased;
    const int32_t n_visible = std::min(request.filter.n_visible(), stats_.n_indexed);
    if (scan_is_cheaper(params_.m, ef, n_nodes, n_visible)) {
        return false;
    }
    const int     top  = graph_.links.level(graph_.entry);
    const int32_t from = walk_down(graph_, graph_.entry, top, 1, -1, scratch);
    const int     n_view = ef + (graph_.codes.are_used() ? code_margin : 0);
    return walk_level({ graph_, &request.filter, -1 }, from, 0, n_view, max_scored(n_visible), scratch);
}

// scratch.top_k = the best n_wanted of the pool's cells and their twins. False when they are fewer, or when there are so
// many twins that a scan is cheaper.
bool hnsw_index::take_found(const cell_filter & filter, int32_t n_wanted, search_scratch & scratch) const {
    const auto is_wanted  = [&](int32_t cell) { return graph_.live.test(cell) && filter.visible(cell); };
    int32_t    n_found    = 0;
    int64_t    twins_left = max_scored(filter.n_visible());
    scratch.ranked.clear();
    scratch.cells.clear();
    scratch.pool.for_each_counted([&](rank_key key) {
        scratch.ranked.push_back(key);
        scratch.cells.push_back(cell_of(key));
        return true;
    });
    if (graph_.codes.are_used()) {  // ranks by codes are not yet those of rows
        rank_cells(scratch.query, graph_.rows, scratch);
        scratch.counters.n_scored += int64_t(scratch.cells.size());
    }
    for (const rank_key key : scratch.ranked) {
        const int32_t first = cell_of(key);
        if (is_wanted(first)) {
            scratch.top_k.add(key);
            ++n_found;
        }
        scratch.cells.clear();
        for (int32_t cell = graph_.links.twin(first); cell >= 0 && cell != first && twins_left > 0; --twins_left) {
            if (is_wanted(cell) && scratch.visited.insert(cell)) {
                scratch.cells.push_back(cell);
            }
            cell = graph_.links.twin(cell);
        }
        n_found += score_batch(graph_.rows, scratch);
        if (n_found >= n_wanted || twins_left <= 0) {
            break;
        }
    }
    return n_found >= n_wanted && twins_left > 0;
}

void hnsw_index::search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const {
    const stopwatch watch(scratch.counters.search_ns);
    ++scratch.counters.n_searches;
    if (stats_.n_indexed == 0 || request.top_k < 1) {
        return;
    }
    const int32_t n_wanted = std::min(request.top_k, stats_.n_indexed);
    scratch.query.assign(graph_.codes.view(), request.query);
    scratch.top_k.reset(n_wanted);
    const bool has_walked = walk(request, std::max(request.ef, n_wanted), scratch);
    if (graph_.codes.are_used()) {
        scratch.query.assign(graph_.rows, request.query);
    }
    if (!has_walked || !take_found(request.filter, n_wanted, scratch)) {
        ++scratch.counters.n_exact;
        scratch.top_k.reset(n_wanted);
        exact_scan(graph_.rows, graph_.live, request.filter, scratch);
    }
    scratch.top_k.append_to(out);
}

index_stats hnsw_index::stats() const {
    index_stats res  = stats_;
    res.memory_bytes = int64_t(graph_.links.memory_bytes() + graph_.codes.memory_bytes() + graph_.nodes.memory_bytes() +
                               graph_.live.memory_bytes());
    return res;
}

void hnsw_index::copy_from(const hnsw_index & other) {
    graph_.links.copy_from(other.graph_.links, other.graph_.nodes.last() + 1);
    graph_.codes.copy_from(other.graph_.codes, other.graph_.nodes.last() + 1);
    graph_.nodes         = other.graph_.nodes;
    graph_.live          = other.graph_.live;
    graph_.entry         = other.graph_.entry;
    stats_.n_indexed     = other.stats_.n_indexed;
    stats_.n_erased      = other.stats_.n_erased;
    stats_.n_overwritten = other.stats_.n_overwritten;
}

void hnsw_index::set_graph(hnsw_graph && graph, int32_t n_overwritten) {
    graph_               = std::move(graph);
    take_rows_anew();
    stats_.n_indexed     = graph_.live.count();
    stats_.n_erased      = graph_.nodes.count() - stats_.n_indexed;
    stats_.n_overwritten = n_overwritten;
}

}  // namespace ann_idx
