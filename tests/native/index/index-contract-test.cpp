// What every ann_index promises, run for each implementation.
#include "check.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

using namespace ann_idx;
using namespace ann_test;

namespace {

using make_index = std::function<std::unique_ptr<ann_index>(const vector_rows &)>;

constexpr int dim = 32;

struct fixture {
    std::vector<float>         values;
    key_rows                   rows;
    std::unique_ptr<ann_index> index;
    search_scratch             scratch;

    fixture(const make_index & make, int32_t n, vector_type type = vector_type::f16) :
        values(token_keys(dim, 7).keys(n)),
        rows(store_rows(type, dim, values)),
        index(make(rows.view)) {}

    void insert_all() {
        for (int32_t cell = 0; cell < rows.view.n_rows; ++cell) {
            index->insert(cell, scratch);
        }
    }

    const float * key(int32_t cell) const { return values.data() + size_t(cell) * dim; }

    void overwrite(int32_t cell, const float * key) {
        std::copy_n(key, dim, values.begin() + ptrdiff_t(cell) * dim);
        store_row(rows.view, cell, key);
        index->insert(cell, scratch);
    }

    // All visible cells, by the oracle: enough for small sets.
    found_cells exact(const float * query, int top_k, const cell_filter & filter) {
        auto flat = make_flat_index(rows.view);
        for (int32_t cell = 0; cell < rows.view.n_rows; ++cell) {
            if (index->contains(cell)) {
                flat->insert(cell, scratch);
            }
        }
        return ann_test::search(*flat, query, top_k, top_k, filter);
    }
};

void empty_finds_nothing(const make_index & make) {
    fixture f(make, 10);
    CHECK(search(*f.index, f.key(0), 5, 5, cell_filter::all(10)).empty());
    CHECK(f.index->stats().n_indexed == 0);
    const vector_rows no_rows = { nullptr, 64, vector_type::f16, dim, 0 };
    CHECK(search(*make(no_rows), f.key(0), 5, 5, cell_filter::all(0)).empty());
}

void one_cell_is_found(const make_index & make) {
    fixture f(make, 10);
    f.index->insert(4, f.scratch);
    f.index->insert(4, f.scratch);
    const found_cells found = search(*f.index, f.key(0), 5, 1, cell_filter::all(10));
    CHECK(found.size() == 1 && found[0].cell == 4);
    CHECK(f.index->contains(4) && !f.index->contains(3));
    CHECK(f.index->stats().n_indexed == 1);
}

void few_cells_are_all_found_in_order(const make_index & make) {
    for (const vector_type type : { vector_type::f32, vector_type::f16, vector_type::q8_0 }) {
        fixture f(make, 50, type);
        f.insert_all();
        for (const int top_k : { 1, 10, 50, 51, 1000 }) {
            const found_cells found = search(*f.index, f.key(3), top_k, 10, cell_filter::all(50));
            CHECK(equal(found, f.exact(f.key(3), top_k, cell_filter::all(50))));
            CHECK(is_ranked(found) && has_no_repeats(found));
            CHECK(has_current_scores(found, f.rows.view, f.key(3)));
        }
    }
}

void results_are_appended(const make_index & make) {
    fixture f(make, 20);
    f.insert_all();
    found_cells out = { { 5.0f, 99 } };
    f.index->search({ f.key(0), 3, 3, cell_filter::all(20) }, f.scratch, out);
    CHECK(out.size() == 4 && out[0].cell == 99);
    f.index->search({ f.key(0), 0, 3, cell_filter::all(20) }, f.scratch, out);
    CHECK(out.size() == 4);
}

void invisible_cells_are_never_found(const make_index & make) {
    const int32_t n = 4000;
    fixture       f(make, n);
    f.insert_all();
    random_source random(3);
    for (const double share : { 0.9, 0.5, 0.2, 0.01, 0.0 }) {
        cell_bits bits(n);
        int32_t   n_visible = 0;
        for (int32_t cell = 0; cell < n; ++cell) {
            if (random.uniform() < share) {
                bits.set(cell);
                ++n_visible;
            }
        }
        const cell_filter filter = cell_filter::bits(bits.words().data(), n, n_visible);
        for (int32_t q = 0; q < 20; ++q) {
            const found_cells found = search(*f.index, f.key(q), 64, 64, filter);
            CHECK(found.size() == std::min(size_t(64), size_t(n_visible)));
            CHECK(is_ranked(found) && has_no_repeats(found));
            CHECK(std::all_of(found.begin(), found.end(), [&](const scored_cell & hit) { return bits.test(hit.cell); }));
        }
    }
}

// A hidden neighbourhood must not hide what lies behind it.
void the_only_visible_cell_is_found(const make_index & make) {
    const int32_t n = 2000;
    fixture       f(make, n);
    f.insert_all();
    for (int32_t cell = 0; cell < n; cell += 97) {
        cell_bits bits(n);
        bits.set(cell);
        const found_cells found = search(*f.index, f.key(n - 1 - cell), 8, 8, cell_filter::bits(bits.words().data(), n));
        CHECK(found.size() == 1 && found[0].cell == cell);
        // A caller who overstates how many are visible gets the same, later.
        CHECK(search(*f.index, f.key(n - 1 - cell), 8, 8, cell_filter::bits(bits.words().data(), n, n)).size() == 1);
    }
}

void equal_rows_rank_by_cell(const make_index & make) {
    fixture f(make, 600);
    for (const int32_t cell : { 400, 20, 300, 10, 200 }) {
        std::copy_n(f.key(5), dim, f.values.begin() + ptrdiff_t(cell) * dim);
        store_row(f.rows.view, cell, f.key(5));
    }
    for (int32_t cell = 599; cell >= 0; --cell) {
        f.index->insert(cell, f.scratch);
    }
    const int32_t     expected[] = { 5, 10, 20, 200, 300, 400 };
    const found_cells found      = search(*f.index, f.key(5), 6, 600, cell_filter::all(600));
    for (size_t i = 0; i < 6; ++i) {
        CHECK(found[i].cell == expected[i]);
    }
    const found_cells two = search(*f.index, f.key(5), 2, 2, cell_filter::all(600));
    CHECK(two[0].cell == 5 && two[1].cell == 10);
}

void all_rows_equal(const make_index & make) {
    const int32_t n = 3000;
    fixture       f(make, n);
    for (int32_t cell = 0; cell < n; ++cell) {
        store_row(f.rows.view, cell, f.key(0));
    }
    f.insert_all();
    const found_cells found = search(*f.index, f.key(1), 100, 100, cell_filter::all(n));
    CHECK(found.size() == 100);
    for (int32_t i = 0; i < int32_t(found.size()); ++i) {
        CHECK(found[size_t(i)].cell == i);
    }
}

void erased_cells_are_not_found_until_inserted_again(const make_index & make) {
    const int32_t n = 1000;
    fixture       f(make, n);
    f.insert_all();
    for (int32_t cell = 0; cell < n; cell += 2) {
        f.index->erase(cell);
        f.index->erase(cell);
    }
    CHECK(f.index->stats().n_indexed == n / 2);
    for (int32_t q = 0; q < 50; ++q) {
        const found_cells found = search(*f.index, f.key(q), 32, 32, cell_filter::all(n));
        CHECK(found.size() == 32);
        CHECK(std::all_of(found.begin(), found.end(), [](const scored_cell & hit) { return hit.cell % 2 == 1; }));
    }
    f.index->insert(10, f.scratch);
    CHECK(search(*f.index, f.key(10), 1, 32, cell_filter::all(n))[0].cell == 10);
    for (int32_t cell = 0; cell < n; ++cell) {
        f.index->erase(cell);
    }
    CHECK(search(*f.index, f.key(10), 8, 8, cell_filter::all(n)).empty());
    f.insert_all();
    CHECK(f.index->stats().n_indexed == n);
    CHECK(search(*f.index, f.key(10), 8, n, cell_filter::all(n)).size() == 8);
}

void overwritten_cells_are_found_in_their_new_place(const make_index & make) {
    const int32_t n = 1500;
    fixture       f(make, n);
    f.insert_all();
    const std::vector<float> fresh = token_keys(dim, 8).keys(2 * n);
    random_source            random(1);
    for (int32_t i = 0; i < 2 * n; ++i) {
        const int32_t cell = random.below(n);
        f.overwrite(cell, fresh.data() + size_t(i) * dim);
        if (i % 50 == 0) {
            const found_cells found = search(*f.index, f.key(cell), 16, 64, cell_filter::all(n));
            CHECK(contains(found, cell));
            CHECK(has_current_scores(found, f.rows.view, f.key(cell)));
        }
    }
    int32_t n_lost = 0;
    for (int32_t cell = 0; cell < n; ++cell) {
        n_lost += contains(search(*f.index, f.key(cell), 16, 64, cell_filter::all(n)), cell) ? 0 : 1;
    }
    CHECK(n_lost <= n / 500);
    CHECK(f.index->stats().n_overwritten == 2 * n);
}

// Rings of equal rows lose and gain members, their heads included.
void overwritten_twins(const make_index & make) {
    const int32_t n = 300;
    fixture       f(make, n);
    random_source random(2);
    f.insert_all();
    for (int32_t i = 0; i < 3000; ++i) {
        const int32_t            cell = random.below(n);
        const float *            key  = f.key(random.below(12));  // few values: most cells end up equal to others
        const std::vector<float> held(key, key + dim);
        f.overwrite(cell, held.data());
        if (i % 10 == 0) {
            const found_cells found = search(*f.index, f.key(cell), n, n, cell_filter::all(n));
            CHECK(equal(found, f.exact(f.key(cell), n, cell_filter::all(n))));
        }
    }
}

void scores_are_those_of_the_rows_now(const make_index & make) {
    const int32_t n = 2000;
    fixture       f(make, n);
    f.insert_all();
    for (int32_t cell = 0; cell < n; cell += 3) {  // written behind the index's back
        store_row(f.rows.view, cell, f.key((cell + 1000) % n));
    }
    for (int32_t q = 0; q < 20; ++q) {
        const found_cells found = search(*f.index, f.key(q), 32, 64, cell_filter::all(n));
        CHECK(has_current_scores(found, f.rows.view, f.key(q)));
        CHECK(is_ranked(found));
    }
}

void cleared_is_empty_and_usable(const make_index & make) {
    fixture f(make, 500);
    f.insert_all();
    f.index->clear();
    CHECK(search(*f.index, f.key(1), 5, 5, cell_filter::all(500)).empty());
    CHECK(f.index->stats().n_indexed == 0 && f.index->stats().n_overwritten == 0);
    f.insert_all();
    CHECK(search(*f.index, f.key(1), 5, 50, cell_filter::all(500))[0].cell == 1);
}

void numbers_that_are_none_do_no_harm(const make_index & make) {
    const int32_t      n = 400;
    fixture            f(make, n, vector_type::f32);
    std::vector<float> bad(dim, std::numeric_limits<float>::quiet_NaN());
    for (int32_t cell = 0; cell < n; cell += 4) {
        store_row(f.rows.view, cell, bad.data());
    }
    f.insert_all();
    const found_cells found = search(*f.index, f.key(1), 20, 100, cell_filter::all(n));
    CHECK(found.size() == 20);
    CHECK(std::all_of(found.begin(), found.end(), [](const scored_cell & hit) { return hit.cell % 4 != 0; }));
    CHECK(search(*f.index, bad.data(), 20, 100, cell_filter::all(n)).size() == 20);
}

void order_of_insertion_does_not_hide_cells(const make_index & make) {
    const int32_t n = 3000;
    fixture       f(make, n);
    for (int32_t i = 0; i < n; ++i) {
        f.index->insert(int32_t((int64_t(i) * 1009) % n), f.scratch);
    }
    int32_t n_lost = 0;
    for (int32_t cell = 0; cell < n; ++cell) {
        n_lost += contains(search(*f.index, f.key(cell), 16, 64, cell_filter::all(n)), cell) ? 0 : 1;
    }
    CHECK(n_lost == 0);
}

void the_contract(const make_index & make) {
    empty_finds_nothing(make);
    one_cell_is_found(make);
    few_cells_are_all_found_in_order(make);
    results_are_appended(make);
    invisible_cells_are_never_found(make);
    the_only_visible_cell_is_found(make);
    equal_rows_rank_by_cell(make);
    all_rows_equal(make);
    erased_cells_are_not_found_until_inserted_again(make);
    overwritten_cells_are_found_in_their_new_place(make);
    overwritten_twins(make);
    scores_are_those_of_the_rows_now(make);
    cleared_is_empty_and_usable(make);
    numbers_that_are_none_do_no_harm(make);
    order_of_insertion_does_not_hide_cells(make);
}

void bad_parameters_are_refused() {
    const fixture f(make_flat_index, 10);
    for (const hnsw_params & params : { hnsw_params{ 1, 100, 1 }, hnsw_params{ 129, 100, 1 }, hnsw_params{ 16, 0, 1 } }) {
        CHECK_THROWS(make_hnsw_index(f.rows.view, params), std::invalid_argument);
    }
}

}  // namespace

int main() {
    std::printf("flat\n");
    the_contract(make_flat_index);
    for (const hnsw_params & params : { hnsw_params{ 16, 100, 1 }, hnsw_params{ 8, 40, 2 }, hnsw_params{ 128, 200, 3 } }) {
        std::printf("hnsw, m %d\n", params.m);
        the_contract([&](const vector_rows & rows) { return make_hnsw_index(rows, params); });
    }
    bad_parameters_are_refused();
    return result();
}
