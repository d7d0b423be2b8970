// The graph against the oracle: recall floors at a fixed seed, and what must not lower them.
//
//   index-hnsw-recall-test [cells, default 32768]
#include "check.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <cstdlib>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr int n_queries = 100;
constexpr int top_k     = 128;

struct fixture {
    int                        dim;
    int32_t                    n;
    token_keys                 source;
    std::vector<float>         values;
    std::vector<float>         queries_a, queries_b;
    key_rows                   rows;
    std::unique_ptr<ann_index> flat, hnsw;
    search_scratch             scratch;

    fixture(vector_type type, int dim_, int32_t n_) :
        dim(dim_),
        n(n_),
        source(dim_, 1),
        values(source.keys(n_)),
        queries_a(source.queries_a(n_queries)),
        queries_b(source.queries_b(n_queries)),
        rows(store_rows(type, dim_, values)),
        flat(make_flat_index(rows.view)),
        hnsw(make_hnsw_index(rows.view, {})) {}

    void insert(int32_t first, int32_t end) {
        for (int32_t cell = first; cell < end; ++cell) {
            flat->insert(cell, scratch);
            hnsw->insert(cell, scratch);
        }
    }

    void overwrite(int32_t cell, const float * key) {
        std::copy_n(key, dim, values.begin() + ptrdiff_t(cell) * dim);
        store_row(rows.view, cell, key);
        insert(cell, cell + 1);
    }

    double recall(const std::vector<float> & queries, int ef, const cell_filter & filter) {
        size_t n_hits = 0, n_best = 0;
        for (int q = 0; q < n_queries; ++q) {
            const float *     query = queries.data() + size_t(q) * size_t(dim);
            const found_cells best  = search(*flat, query, top_k, ef, filter);
            n_hits += n_common(best, search(*hnsw, query, top_k, ef, filter));
            n_best += best.size();
        }
        return double(n_hits) / double(n_best);
    }

    // Cells of which a search for their own key does not find them, of every fifth.
    int n_lost() {
        int res = 0;
        for (int32_t cell = 0; cell < n; cell += 5) {
            const found_cells found = search(*hnsw, values.data() + size_t(cell) * size_t(dim), top_k, top_k, cell_filter::all(n));
            res += contains(found, cell) ? 0 : 1;
        }
        return res;
    }
};

bool check_floor(const char * what, double recall, double floor) {
    std::printf("  %-44s %.4f (floor %.3f)\n", what, recall, floor);
    return CHECK(recall >= floor);
}

void floors(vector_type type, int dim, int32_t n) {
    std::printf("d %d, type %d, %d cells\n", dim, int(type), n);
    fixture f(type, dim, n);
    f.insert(0, n);
    const cell_filter all = cell_filter::all(n);
    check_floor("set A, ef 128", f.recall(f.queries_a, 128, all), 0.92);
    check_floor("set A, ef 256", f.recall(f.queries_a, 256, all), 0.975);
    check_floor("set B, ef 128", f.recall(f.queries_b, 128, all), 0.89);
    check_floor("set B, ef 256", f.recall(f.queries_b, 256, all), 0.96);
    check_floor("set B, ef 512", f.recall(f.queries_b, 512, all), 0.985);
    cell_bits     half(n);
    random_source random(1);
    for (int32_t cell = 0; cell < n; ++cell) {
        if (random.below(10) < 7) {
            half.set(cell);
        }
    }
    check_floor("set B, ef 256, seven of ten visible", f.recall(f.queries_b, 256, cell_filter::bits(half.words().data(), n)), 0.96);
    CHECK(f.n_lost() == 0);
    CHECK(f.hnsw->stats().memory_bytes <= 200 * int64_t(n));
}

void overwriting_and_erasing_cost_little(int dim, int32_t n) {
    std::printf("overwritten and erased, d %d, %d cells\n", dim, n);
    fixture f(vector_type::f16, dim, n);
    f.insert(0, n);
    const cell_filter        all    = cell_filter::all(n);
    const double             before = f.recall(f.queries_a, 256, all);
    const std::vector<float> fresh  = f.source.keys(n);
    random_source            random(2);
    for (int32_t i = 0; i < n / 2; ++i) {
        f.overwrite(random.below(n), fresh.data() + size_t(i) * size_t(dim));
    }
    check_floor("half overwritten", f.recall(f.queries_a, 256, all), before - 0.02);
    for (int32_t i = n / 2; i < n; ++i) {
        f.overwrite(random.below(n), fresh.data() + size_t(i) * size_t(dim));
    }
    check_floor("as many overwritten as there are", f.recall(f.queries_a, 256, all), before - 0.04);
    CHECK(f.n_lost() <= 1);
    for (int32_t cell = 0; cell < n; cell += 3) {
        f.flat->erase(cell);
        f.hnsw->erase(cell);
    }
    check_floor("a third erased", f.recall(f.queries_a, 256, all), before - 0.04);
}

// Keys of layers that see only the token: many cells have the same key.
void many_twins_cost_nothing(int dim, int32_t n) {
    std::printf("three of four cells have one of 50 keys, d %d, %d cells\n", dim, n);
    fixture       f(vector_type::f16, dim, n);
    random_source random(3);
    for (int32_t cell = 100; cell < n; ++cell) {
        if (random.below(4) > 0) {
            const int32_t original = random.below(50);
            std::copy_n(f.values.begin() + ptrdiff_t(original) * dim, dim, f.values.begin() + ptrdiff_t(cell) * dim);
            store_row(f.rows.view, cell, f.values.data() + size_t(cell) * size_t(dim));
        }
    }
    f.insert(0, n);
    check_floor("set A, ef 128", f.recall(f.queries_a, 128, cell_filter::all(n)), 0.95);
    for (int32_t original = 0; original < 50; ++original) {
        const float *     query = f.values.data() + size_t(original) * size_t(dim);
        const found_cells found = search(*f.hnsw, query, top_k, top_k, cell_filter::all(n));
        CHECK(equal(found, search(*f.flat, query, top_k, top_k, cell_filter::all(n))));
    }
}

void equal_order_gives_equal_graphs(int32_t n) {
    fixture a(vector_type::q8_0, 64, n), b(vector_type::q8_0, 64, n);
    a.insert(0, n);
    b.insert(0, n);
    for (int q = 0; q < n_queries; ++q) {
        const float * query = a.queries_b.data() + q * 64;
        CHECK(equal(search(*a.hnsw, query, 32, 64, cell_filter::all(n)), search(*b.hnsw, query, 32, 64, cell_filter::all(n))));
    }
    CHECK(a.scratch.counters.n_scored == b.scratch.counters.n_scored);
}

// A walk must pay: it scores a fraction of the cells, and the fall-back is taken when it would not.
void walks_score_few_cells(int32_t n) {
    fixture f(vector_type::q8_0, 64, n);
    f.insert(0, n);
    f.scratch.counters = {};
    found_cells out;
    for (int q = 0; q < n_queries; ++q) {
        f.hnsw->search({ f.queries_a.data() + q * 64, top_k, 128, cell_filter::all(n) }, f.scratch, out);
    }
    CHECK(f.scratch.counters.n_searches == n_queries && f.scratch.counters.n_exact == 0);
    CHECK(f.scratch.counters.n_scored < int64_t(n_queries) * n / 4);
    CHECK(f.scratch.counters.search_ns > 0);
    f.hnsw->search({ f.queries_a.data(), top_k, n, cell_filter::all(n) }, f.scratch, out);
    CHECK(f.scratch.counters.n_exact == 1);
}

// Several sequences in one stream: each query sees the cells of its own. Where these are few, a scan of them is cheaper than
// a walk over everybody's, and exact.
void few_visible_cells_are_scanned(int32_t n) {
    fixture f(vector_type::q8_0, 64, n);
    f.insert(0, n);
    for (const bool is_few : { false, true }) {  // nine of ten cells are visible, one of a hundred
        std::vector<uint64_t> words((size_t(n) + 63) / 64);
        for (int32_t cell = 0; cell < n; ++cell) {
            words[size_t(cell) / 64] |= uint64_t(is_few ? cell % 100 == 0 : cell % 10 != 0) << (cell % 64);
        }
        const cell_filter filter = cell_filter::bits(words.data(), n);
        f.scratch.counters       = {};
        size_t n_hits            = 0;
        for (int q = 0; q < n_queries; ++q) {
            const float *     query = f.queries_a.data() + q * 64;
            const found_cells best  = search(*f.flat, query, top_k, top_k, filter);
            found_cells       found;
            f.hnsw->search({ query, top_k, 160, filter }, f.scratch, found);
            CHECK(found.size() == best.size());
            n_hits += n_common(best, found);
        }
        const double recall = double(n_hits) / (n_queries * top_k);
        CHECK(is_few ? f.scratch.counters.n_exact == n_queries && recall == 1 : f.scratch.counters.n_exact == 0 && recall > 0.9);
    }
}

}  // namespace

int main(int argc, char ** argv) {
    const int32_t n = argc > 1 ? std::atoi(argv[1]) : 32768;
    floors(vector_type::f16, 64, n);
    floors(vector_type::q8_0, 128, n);
    floors(vector_type::q8_0, 64, n / 2);
    floors(vector_type::f16, 128, n / 2);
    for (const int dim : { 64, 128 }) {  // f16 rows of 128 values have codes
        overwriting_and_erasing_cost_little(dim, n / 2);
        many_twins_cost_nothing(dim, n / 2);
    }
    equal_order_gives_equal_graphs(n / 4);
    walks_score_few_cells(n / 2);
    few_visible_cells_are_scanned(n / 2);
    return result();
}
