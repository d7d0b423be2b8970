// The index set against a model of what is known: random interleavings, for one shard and for several.
#include "check.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <cstring>
#include <map>
#include <stdexcept>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr int     dim     = 64;
constexpr int32_t n_cells = 3000;

// A cache of keys as the set's owner keeps it, and the set.
struct fixture {
    key_rows           rows;
    index_set          set;
    cell_bits          known;
    std::vector<float> pool = token_keys(dim, 5).keys(4000);  // keys to write
    size_t             next = 0;
    search_scratch     scratch;

    explicit fixture(int n_shards, vector_type type = vector_type::f16) :
        rows(make_rows(type, dim, n_cells)),
        set(rows.view, { hnsw_params{}, n_shards }),
        known(n_cells) {}

    const float * fresh() { return pool.data() + (next++ % 4000) * dim; }

    void write(const std::vector<int32_t> & cells) {
        for (const int32_t cell : cells) {
            store_row(rows.view, cell, fresh());
            known.set(cell);
        }
        set.mark_written(cells.data(), cells.size());
    }

    void write_range(int32_t first, int32_t n) {
        std::vector<int32_t> cells;
        for (int32_t i = 0; i < n; ++i) {
            cells.push_back((first + i) % n_cells);
        }
        write(cells);
    }

    void remove(const std::vector<int32_t> & cells) {
        for (const int32_t cell : cells) {
            known.unset(cell);
        }
        set.mark_removed(cells.data(), cells.size());
    }

    int32_t n_known() const { return known.count(); }

    cell_filter visible() const { return cell_filter::bits(known.words().data(), n_cells); }

    found_cells exact(const float * query, int top_k, const cell_filter & filter) {
        auto flat = make_flat_index(rows.view);
        known.for_each([&](int32_t cell) { flat->insert(cell, scratch); });
        return search(*flat, query, top_k, top_k, filter);
    }

    // Complete, visible, current; returns the share of the exact result that was found.
    double check(const float * query, int top_k, int ef, const cell_filter & filter) {
        const found_cells found = search(set, query, top_k, ef, filter);
        const found_cells best  = exact(query, top_k, filter);
        found_cells       scanned;
        set.search_exact({ query, top_k, ef, filter }, scratch, scanned);
        CHECK(equal(scanned, best));
        CHECK(found.size() == best.size());
        CHECK(is_ranked(found) && has_no_repeats(found));
        CHECK(has_current_scores(found, rows.view, query));
        for (const scored_cell & hit : found) {
            CHECK(known.test(hit.cell) && filter.visible(hit.cell));
        }
        return best.empty() ? 1.0 : double(n_common(found, best)) / double(best.size());
    }
};

void pending_cells_are_found_at_once(int n_shards) {
    fixture f(n_shards);
    f.write_range(0, 500);
    CHECK(f.set.stats().n_pending == 500);
    CHECK(f.check(f.pool.data(), 32, 32, f.visible()) == 1.0);
    f.set.build(1);
    CHECK(f.set.stats().n_pending == 0 && f.set.stats().total.n_indexed == 500);
    f.write({ 7, 600, 7 });
    CHECK(f.set.stats().n_pending == 2);
    const float * last = f.pool.data() + (f.next - 1) * dim;  // what cell 7 holds now
    CHECK(search(f.set, last, 1, 1, f.visible())[0].cell == 7);
    f.remove({ 7 });
    CHECK(f.set.stats().n_pending == 1);
    CHECK(!contains(search(f.set, last, 400, 400, f.visible()), 7));
    CHECK(f.check(last, 400, 400, f.visible()) > 0.95);
}

void the_budget_is_kept(int n_shards) {
    fixture f(n_shards);
    f.write_range(0, 1000);
    for (int s = 0; s < n_shards; ++s) {
        const int32_t n = f.set.n_pending(s);
        CHECK(f.set.insert_pending(s, 10, f.scratch) == 10);
        CHECK(f.set.n_pending(s) == n - 10);
        CHECK(f.set.insert_pending(s, n, f.scratch) == n - 10);
        CHECK(f.set.insert_pending(s, 5, f.scratch) == 0);
    }
    CHECK(f.set.stats().total.n_inserted == 1000);
}

std::vector<int32_t> random_cells(random_source & random, int32_t n) {
    std::vector<int32_t> res;
    for (int32_t i = 0; i < n; ++i) {
        res.push_back(random.below(n_cells));
    }
    return res;
}

// Everything a cache does, in random order; each result complete and current, the recall high on average.
void random_interleavings(int n_shards, vector_type type, uint64_t seed) {
    random_source random(seed);
    fixture       f(n_shards, type);
    index_set     other(f.rows.view, f.set.params());
    double        recall = 0;
    int           n      = 0;
    f.write_range(0, 2000);
    f.set.build(2);
    for (int step = 0; step < 250; ++step) {
        switch (random.below(12)) {
            case 0:
                f.write_range(random.below(n_cells), 1 + random.below(200));
                break;
            case 1:
                f.remove(random_cells(random, random.below(100)));
                break;
            case 2:
                f.set.build(1 + random.below(3));
                break;
            case 3:
                other.copy_from(f.set);
                std::swap(other, f.set);
                break;
            case 4:
                if (random.below(10) == 0) {  // all keys change, as in a context shift
                    f.known.for_each([&](int32_t cell) { store_row(f.rows.view, cell, f.fresh()); });
                    f.set.mark_all();
                }
                break;
            case 5:
                if (random.below(20) == 0) {
                    f.set.clear();
                    f.known.clear();
                    f.write_range(random.below(n_cells), 1000);
                }
                break;
            case 6:
                for (int s = 0; s < n_shards; ++s) {
                    if (f.set.needs_rebuild(s)) {
                        f.set.rebuild(s);
                    }
                }
                break;
            default:
                f.write(random_cells(random, 1 + random.below(4)));
                f.set.insert_pending(random.below(n_shards), random.below(8), f.scratch);
        }
        if (step % 5 == 0) {
            cell_bits shown = f.known;
            for (const int32_t cell : random_cells(random, random.below(2) * 2000)) {
                shown.unset(cell);
            }
            recall += f.check(f.fresh(), 1 + random.below(64), 96, cell_filter::bits(shown.words().data(), n_cells));
            ++n;
        }
    }
    CHECK(recall / n > 0.95);
}

// One graph per shard, whoever builds it.
void threads_do_not_change_results() {
    fixture one(4), many(4);
    for (fixture * f : { &one, &many }) {
        f->write_range(0, n_cells);
    }
    one.set.build(1);
    many.set.build(4);
    for (int q = 0; q < 50; ++q) {
        const float * query = one.pool.data() + q * 13 * dim;
        CHECK(equal(search(one.set, query, 32, 64, one.visible()), search(many.set, query, 32, 64, one.visible())));
    }
}

void shards_find_the_same() {
    std::map<int, std::vector<found_cells>> found;
    for (const int n_shards : { 1, 2, 4, 7 }) {
        fixture f(n_shards);
        f.write_range(0, n_cells);
        f.set.build(2);
        double recall = 0;
        for (int q = 0; q < 50; ++q) {
            recall += f.check(f.pool.data() + (3000 + q) * dim, 64, 128, f.visible()) / 50;
            // With every cell in view the graphs are exact.
            found[n_shards].push_back(search(f.set, f.pool.data() + q * dim, 64, n_cells * n_shards, f.visible()));
        }
        CHECK(recall > 0.97);
        for (int q = 0; q < 50; ++q) {
            CHECK(equal(found[n_shards][size_t(q)], found[1][size_t(q)]));
        }
    }
}

void rebuild_forgets_what_was_removed() {
    fixture f(2);
    f.write_range(0, 2000);
    f.set.build(2);
    std::vector<int32_t> removed;
    for (int32_t cell = 0; cell < 1200; ++cell) {
        removed.push_back(cell);
    }
    CHECK(!f.set.needs_rebuild(0));
    f.remove(removed);
    CHECK(f.set.stats().total.n_erased == 1200 && f.set.stats().total.n_indexed == 800);
    CHECK(f.check(f.pool.data(), 32, 64, f.visible()) > 0.9);
    for (int s = 0; s < 2; ++s) {
        CHECK(f.set.needs_rebuild(s));
        f.set.rebuild(s);
    }
    CHECK(f.set.stats().n_pending == 800);
    CHECK(f.check(f.pool.data(), 32, 64, f.visible()) == 1.0);
    f.set.build(2);
    CHECK(f.set.stats().total.n_erased == 0 && f.set.stats().total.n_indexed == 800);
    CHECK(f.check(f.pool.data(), 32, 64, f.visible()) > 0.9);
}

// Every value pair turned by a right angle, as a context shift turns keys: products stay what they were, to the bit.
void rows_that_move_together_are_still_found(int n_shards) {
    fixture f(n_shards, vector_type::f32);  // rows that are long enough for codes
    f.write_range(0, n_cells);
    f.set.build(2);
    const auto turn = [](float * values) {
        for (int i = 0; i < dim; i += 2) {
            const float first = values[i];
            values[i]         = -values[i + 1];
            values[i + 1]     = first;
        }
    };
    f.scratch.counters = {};
    for (const bool is_turned : { false, true }) {
        if (is_turned) {
            for (int32_t cell = 0; cell < n_cells; ++cell) {
                std::vector<float> values(dim);
                std::memcpy(values.data(), f.rows.view.row(cell), dim * sizeof(float));
                turn(values.data());
                store_row(f.rows.view, cell, values.data());
            }
            f.set.mark_moved();
        }
        double recall = 0;
        for (int q = 0; q < 50; ++q) {
            std::vector<float> query(f.pool.begin() + ptrdiff_t(3000 + q) * dim, f.pool.begin() + ptrdiff_t(3001 + q) * dim);
            if (is_turned) {
                turn(query.data());
            }
            recall += f.check(query.data(), 8, 8 * n_shards, f.visible()) / 50;
            found_cells found;
            f.set.search({ query.data(), 8, 8 * n_shards, f.visible() }, f.scratch, found);
        }
        CHECK(recall > 0.9);
    }
    CHECK(f.scratch.counters.n_searches == 100 * n_shards);
    CHECK(100 * f.scratch.counters.n_exact <= f.scratch.counters.n_searches);  // a small shard's walk may give up
    CHECK(f.set.stats().total.n_inserted == n_cells);
}

void bad_arguments_change_nothing() {
    fixture       f(2);
    const int32_t cells[] = { 1, 2, n_cells };
    CHECK_THROWS(f.set.mark_written(cells, 3), std::invalid_argument);
    CHECK_THROWS(f.set.mark_removed(cells, 3), std::invalid_argument);
    CHECK(f.set.stats().n_pending == 0);
    CHECK_THROWS(index_set(f.rows.view, { hnsw_params{}, 0 }), std::invalid_argument);
    CHECK_THROWS(index_set(f.rows.view, { hnsw_params{}, 65 }), std::invalid_argument);
    const fixture other(4);
    CHECK_THROWS(f.set.copy_from(other.set), std::invalid_argument);
}

}  // namespace

int main() {
    for (const int n_shards : { 1, 2, 4 }) {
        std::printf("%d shards\n", n_shards);
        pending_cells_are_found_at_once(n_shards);
        the_budget_is_kept(n_shards);
        random_interleavings(n_shards, vector_type::f16, 10 + uint64_t(n_shards));
        random_interleavings(n_shards, vector_type::q8_0, 20 + uint64_t(n_shards));
        random_interleavings(n_shards, vector_type::f32, 30 + uint64_t(n_shards));
        rows_that_move_together_are_still_found(n_shards);
    }
    threads_do_not_change_results();
    shards_find_the_same();
    rebuild_forgets_what_was_removed();
    bad_arguments_change_nothing();
    return result();
}
