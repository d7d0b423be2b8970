#include "index-set.h"

#include "exact-scan.h"
#include "stopwatch.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace ann_idx {

index_set::index_set(const vector_rows & rows, const index_set_params & params) : rows_(rows), params_(params) {
    check_rows(rows);
    check_params(params.graph);
    if (params.n_shards < 1 || params.n_shards > 64) {
        throw std::invalid_argument("index_set_params.n_shards is " + std::to_string(params.n_shards) +
                                    ", it must be in [1, 64]");
    }
    for (int s = 0; s < params.n_shards; ++s) {
        const vector_rows stripe = rows.stripe(s, params.n_shards);
        shards_.push_back({ stripe, std::make_unique<hnsw_index>(stripe, params.graph), pending_cells(stripe.n_rows) });
    }
}

void index_set::check_cells(const int32_t * cells, size_t n) const {
    for (size_t i = 0; i < n; ++i) {
        if (cells[i] < 0 || cells[i] >= rows_.n_rows) {
            throw std::invalid_argument("cell is " + std::to_string(cells[i]) + ", it must be in [0, " +
                                        std::to_string(rows_.n_rows) + ")");
        }
    }
}

void index_set::mark_written(const int32_t * cells, size_t n) {
    check_cells(cells, n);
    for (size_t i = 0; i < n; ++i) {
        shards_[size_t(cells[i] % n_shards())].pending.add(cells[i] / n_shards());
    }
}

void index_set::mark_removed(const int32_t * cells, size_t n) {
    check_cells(cells, n);
    for (size_t i = 0; i < n; ++i) {
        shard & of = shards_[size_t(cells[i] % n_shards())];
        of.pending.remove(cells[i] / n_shards());
        of.graph->erase(cells[i] / n_shards());
    }
}

void index_set::mark_all() {
    for (int s = 0; s < n_shards(); ++s) {
        rebuild(s);
    }
}

void index_set::mark_moved() {
    for (shard & of : shards_) {
        of.graph->take_rows_anew();
    }
}

void index_set::clear() {
    for (shard & of : shards_) {
        of.graph->clear();
        of.pending.clear();
    }
}

void index_set::copy_from(const index_set & other) {
    const bool is_alike = rows_.type == other.rows_.type && rows_.dim == other.rows_.dim &&
                          rows_.n_rows == other.rows_.n_rows && n_shards() == other.n_shards() &&
                          params_.graph.m == other.params_.graph.m && params_.graph.seed == other.params_.graph.seed;
    if (!is_alike) {
        throw std::invalid_argument("an index set is copied only from one of equal rows and parameters");
    }
    for (size_t s = 0; s < shards_.size(); ++s) {
        shards_[s].graph->copy_from(*other.shards_[s].graph);
        shards_[s].pending = other.shards_[s].pending;
    }
}

int32_t index_set::insert_pending(int shard_number, int32_t n_most, search_scratch & scratch) {
    shard & of = shards_[size_t(shard_number)];
    int32_t n  = 0;
    for (; n < n_most; ++n) {
        const int32_t cell = of.pending.first();
        if (cell < 0) {
            break;
        }
        of.graph->insert(cell, scratch);
        of.pending.remove(cell);
    }
    return n;
}

void index_set::build(int n_threads) {
    const int                       n_workers = std::max(1, std::min(n_threads, n_shards()));
    std::vector<std::exception_ptr> failures(size_t(n_workers), nullptr);
    const auto                      work = [&](int worker) {
        try {
            search_scratch scratch;
            for (int s = worker; s < n_shards(); s += n_workers) {
                insert_pending(s, n_pending(s), scratch);
            }
        } catch (...) {
            failures[size_t(worker)] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    int                      n_started = 1;
    try {
        for (; n_started < n_workers; ++n_started) {
            threads.emplace_back(work, n_started);
        }
    } catch (const std::system_error &) {
        // No more threads to be had: the calling one does the rest.
    }
    work(0);
    for (int worker = n_started; worker < n_workers; ++worker) {
        work(worker);
    }
    for (std::thread & thread : threads) {
        thread.join();
    }
    for (const std::exception_ptr & failure : failures) {
        if (failure != nullptr) {
            std::rethrow_exception(failure);
        }
    }
}

bool index_set::needs_rebuild(int shard_number) const {
    const index_stats stats   = shards_[size_t(shard_number)].graph->stats();
    const int32_t     n_nodes = stats.n_indexed + stats.n_erased;
    return stats.n_erased > n_nodes / 2 || stats.n_overwritten > n_nodes;
}

void index_set::rebuild(int shard_number) {
    shard &                    of      = shards_[size_t(shard_number)];
    const std::vector<int32_t> written = of.pending.list();
    const cell_bits            live    = of.graph->graph().live;
    of.pending.clear();
    live.for_each([&](int32_t cell) { of.pending.add(cell); });
    for (const int32_t cell : written) {
        of.pending.add(cell);
    }
    of.graph->clear();
}

void index_set::search_shard(int                        shard_number,
                             const search_request &     request,
                             search_scratch &           scratch,
                             std::vector<scored_cell> & out) const {
    const shard &     of      = shards_[size_t(shard_number)];
    const cell_filter visible = request.filter.stripe(shard_number, n_shards());
    const int         ef      = std::max(request.top_k, (request.ef + n_shards() - 1) / n_shards());
    const bool        is_all  = of.pending.size() == 0;
    scratch.found.clear();
    of.graph->search({ request.query, request.top_k, ef, is_all ? visible : visible.hiding(of.pending.bits()) }, scratch,
                     scratch.found);
    if (!is_all) {
        const stopwatch watch(scratch.counters.search_ns);
        scratch.query.assign(of.rows, request.query);
        scratch.top_k.reset(request.top_k);
        for (const scored_cell & hit : scratch.found) {
            scratch.top_k.add(hit.score, hit.cell);
        }
        scratch.found.clear();
        exact_scan(of.rows, of.pending.bits(), visible, scratch);
        scratch.top_k.append_to(scratch.found);
    }
    for (const scored_cell & hit : scratch.found) {
        out.push_back({ hit.score, hit.cell * n_shards() + shard_number });
    }
}

void index_set::merge(std::vector<scored_cell> & found, int top_k) {
    const size_t n = std::min(found.size(), size_t(top_k));
    std::partial_sort(found.begin(), found.begin() + ptrdiff_t(n), found.end());
    found.resize(n);
}

void index_set::search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const {
    out.clear();
    for (int s = 0; s < n_shards(); ++s) {
        search_shard(s, request, scratch, out);
    }
    merge(out, request.top_k);
}

void index_set::search_exact(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const {
    out.clear();
    for (int s = 0; s < n_shards(); ++s) {
        const shard &     of      = shards_[size_t(s)];
        const cell_filter visible = request.filter.stripe(s, n_shards());
        scratch.query.assign(of.rows, request.query);
        scratch.top_k.reset(request.top_k);
        exact_scan(of.rows, of.graph->graph().live, visible.hiding(of.pending.bits()), scratch);
        exact_scan(of.rows, of.pending.bits(), visible, scratch);
        const size_t first = out.size();
        scratch.top_k.append_to(out);
        for (size_t i = first; i < out.size(); ++i) {
            out[i].cell = out[i].cell * n_shards() + s;
        }
    }
    merge(out, request.top_k);
}

index_set_stats index_set::stats() const {
    index_set_stats res;
    for (const shard & of : shards_) {
        const index_stats one = of.graph->stats();
        res.total.n_indexed += one.n_indexed;
        res.total.n_erased += one.n_erased;
        res.total.n_overwritten += one.n_overwritten;
        res.total.n_inserted += one.n_inserted;
        res.total.insert_ns += one.insert_ns;
        res.total.memory_bytes += one.memory_bytes + int64_t(of.pending.memory_bytes());
        res.n_pending += of.pending.size();
    }
    return res;
}

}  // namespace ann_idx
