// Saved indexes: what comes back, and what happens to data that is damaged, foreign or made up.
#include "check.h"
#include "checksum.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <chrono>
#include <functional>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr int    dim              = 64;
constexpr size_t header_bytes     = 76;
constexpr size_t payload_sum_at   = 60;
constexpr size_t header_sum_at    = 68;
constexpr auto   seed_of_checksum = uint64_t(0x414e4e);

std::vector<float> keys_with_twins(int32_t n) {
    std::vector<float> values = token_keys(dim, 11).keys(n);
    for (int32_t cell = 0; cell + 40 < n; cell += 40) {
        std::copy_n(values.begin() + ptrdiff_t(cell) * dim, dim, values.begin() + ptrdiff_t(cell + 20 + cell % 3) * dim);
    }
    return values;
}

// Indexed, erased, overwritten and pending cells, and rings of twins.
struct fixture {
    int32_t            n_cells;
    std::vector<float> values;
    key_rows           rows;
    index_set          set;

    explicit fixture(int32_t n, int n_shards = 2, hnsw_params params = {}) :
        n_cells(n),
        values(keys_with_twins(n)),
        rows(store_rows(vector_type::q8_0, dim, values)),
        set(rows.view, { params, n_shards }) {}

    void fill() {
        std::vector<int32_t> all, some, late;
        for (int32_t cell = 0; cell < n_cells; ++cell) {
            (cell < n_cells * 9 / 10 ? all : late).push_back(cell);
            if (cell % 7 == 3) {
                some.push_back(cell);
            }
        }
        set.mark_written(all.data(), all.size());
        set.build(2);
        set.mark_written(some.data(), some.size());
        set.build(2);
        set.mark_removed(some.data(), some.size() / 2);
        set.mark_written(late.data(), late.size());
    }

    std::vector<uint8_t> saved() const {
        std::vector<uint8_t> res;
        set.save(res);
        return res;
    }
};

bool load(index_set & set, const std::vector<uint8_t> & data, std::string & why_not) {
    const std::vector<uint8_t> exact(data);  // its own allocation: reads past the end are seen by the sanitizer
    return set.load(exact.data(), exact.size(), why_not);
}

void check_rejected(index_set & set, const std::vector<uint8_t> & data, const std::string & why) {
    std::string why_not;
    CHECK(!load(set, data, why_not));
    if (!CHECK(why_not.find(why) != std::string::npos)) {
        std::fprintf(stderr, "  expected: %s\n  was:      %s\n", why.c_str(), why_not.c_str());
    }
}

void check_alike(const index_set & a, const index_set & b, const fixture & f) {
    for (int32_t q = 0; q < 40; ++q) {
        const float * query = f.values.data() + size_t(q) * dim;
        CHECK(equal(search(a, query, 32, 64, cell_filter::all(f.n_cells)), search(b, query, 32, 64, cell_filter::all(f.n_cells))));
    }
    CHECK(a.stats().n_pending == b.stats().n_pending);
    CHECK(a.stats().total.n_indexed == b.stats().total.n_indexed);
    CHECK(a.stats().total.n_erased == b.stats().total.n_erased);
    CHECK(a.stats().total.n_overwritten == b.stats().total.n_overwritten);
}

void what_was_saved_comes_back(int32_t n, int n_shards) {
    fixture f(n, n_shards);
    f.fill();
    const std::vector<uint8_t> data = f.saved();
    index_set                  loaded(f.rows.view, f.set.params());
    std::string                why_not;
    CHECK(load(loaded, data, why_not));
    check_alike(f.set, loaded, f);
    std::vector<uint8_t> again;
    loaded.save(again);
    CHECK(again == data);
    // Both grow on alike.
    f.set.build(1);
    loaded.build(2);
    check_alike(f.set, loaded, f);
}

void an_empty_index_comes_back() {
    fixture     f(100);
    index_set   loaded(f.rows.view, f.set.params());
    std::string why_not;
    CHECK(load(loaded, f.saved(), why_not));
    CHECK(loaded.stats().total.n_indexed == 0);
}

// The cache of the loading process may be larger.
void a_larger_set_takes_it() {
    fixture f(1000), larger(1500);
    f.fill();
    std::copy(f.rows.bytes.begin(), f.rows.bytes.end(), larger.rows.bytes.begin());
    std::string why_not;
    CHECK(load(larger.set, f.saved(), why_not));
    CHECK(larger.set.stats().total.n_indexed == f.set.stats().total.n_indexed);
    check_rejected(f.set, larger.saved(), "is of more cells than there are");
}

void truncations_and_flips_are_rejected() {
    fixture f(300);
    f.fill();
    const std::vector<uint8_t> data   = f.saved();
    const found_cells          before = search(f.set, f.values.data(), 16, 32, cell_filter::all(300));
    std::string                why_not;
    for (size_t n = 0; n < data.size(); n += n < 200 ? 1 : 37) {
        CHECK(!load(f.set, std::vector<uint8_t>(data.begin(), data.begin() + ptrdiff_t(n)), why_not));
        CHECK(!why_not.empty());
    }
    random_source random(6);
    for (int i = 0; i < 3000; ++i) {
        std::vector<uint8_t> damaged = data;
        damaged[size_t(random.below(int32_t(data.size())))] ^= uint8_t(1 + random.below(255));
        CHECK(!load(f.set, damaged, why_not));
    }
    std::vector<uint8_t> longer = data;
    longer.push_back(0);
    check_rejected(f.set, longer, "is not as long as its header says");
    CHECK(equal(before, search(f.set, f.values.data(), 16, 32, cell_filter::all(300))));
}

void seal(std::vector<uint8_t> & data) {
    const uint64_t payload = checksum(data.data() + header_bytes, data.size() - header_bytes, seed_of_checksum);
    std::memcpy(data.data() + payload_sum_at, &payload, sizeof(payload));
    const uint64_t header = checksum(data.data(), header_sum_at, seed_of_checksum);
    std::memcpy(data.data() + header_sum_at, &header, sizeof(header));
}

// Damage with checksums that fit is rejected too, or leaves a graph whose results are complete and current.
void made_up_data_does_no_harm() {
    fixture f(300, 1, { 4, 20, 1 });
    f.fill();
    const std::vector<uint8_t> data = f.saved();
    random_source              random(8);
    int                        n_taken = 0;
    for (int i = 0; i < 20000; ++i) {
        std::vector<uint8_t> damaged = data;
        for (int n = 1 + random.below(3); n > 0; --n) {
            const size_t at = header_bytes + size_t(random.below(int32_t(data.size() - header_bytes)));
            damaged[at]     = random.below(2) == 0 ? uint8_t(damaged[at] + 1) : uint8_t(random.below(256));
        }
        seal(damaged);
        index_set   set(f.rows.view, f.set.params());
        std::string why_not;
        if (!load(set, damaged, why_not)) {
            CHECK(!why_not.empty());
            continue;
        }
        ++n_taken;
        const float *     query = f.values.data() + size_t(random.below(300)) * dim;
        const found_cells found = search(set, query, 8, 16, cell_filter::all(300));
        CHECK(found.size() == 8 && is_ranked(found) && has_no_repeats(found));
        CHECK(has_current_scores(found, f.rows.view, query));
        set.build(1);
        const int32_t cell = random.below(300);
        set.mark_written(&cell, 1);
        set.build(1);
        CHECK(search(set, query, 8, 16, cell_filter::all(300)).size() == 8);
    }
    std::printf("made up and taken: %d of 20000\n", n_taken);
}

void foreign_data_is_rejected() {
    fixture f(400);
    f.fill();
    const std::vector<uint8_t> data = f.saved();
    std::vector<uint8_t>       other = data;
    other[0]                         = 'B';
    check_rejected(f.set, other, "does not begin with ANNINDEX");
    other    = data;
    other[8] = 2;
    check_rejected(f.set, other, "has version 2, not 1");
    check_rejected(f.set, {}, "is shorter than its header");

    index_set more_shards(f.rows.view, { hnsw_params{}, 4 });
    check_rejected(more_shards, data, "has shards 2, not 4");
    index_set other_m(f.rows.view, { hnsw_params{ 12, 100, 1 }, 2 });
    check_rejected(other_m, data, "has m 16, not 12");
    index_set other_ef(f.rows.view, { hnsw_params{ 16, 50, 1 }, 2 });
    check_rejected(other_ef, data, "has ef_construction 100, not 50");
    index_set other_seed(f.rows.view, { hnsw_params{ 16, 100, 2 }, 2 });
    check_rejected(other_seed, data, "has seed 1, not 2");
    const key_rows halves = store_rows(vector_type::f16, dim, f.values);
    index_set      other_type(halves.view, f.set.params());
    check_rejected(other_type, data, "has rows of type 2, not 1");

    store_row(f.rows.view, 5, f.values.data());  // live, not pending
    check_rejected(f.set, data, "was made for other rows");
}

double seconds_of(const std::function<void()> & work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void loading_is_ten_times_faster_than_building() {
    fixture f(8000);
    f.fill();
    std::vector<uint8_t> data;
    index_set            loaded(f.rows.view, f.set.params());
    std::string          why_not;
    const double         build = seconds_of([&] { f.set.build(1); f.set.mark_all(); f.set.build(1); });
    f.set.save(data);
    double load_s = 1e9;
    for (int i = 0; i < 3; ++i) {
        load_s = std::min(load_s, seconds_of([&] { CHECK(load(loaded, data, why_not)); }));
    }
    std::printf("build %.1f ms, load %.1f ms, %.0f bytes a cell\n", build * 1e3, load_s * 1e3, double(data.size()) / 8000);
    CHECK(load_s * 10 < build);
}

}  // namespace

int main() {
    what_was_saved_comes_back(1000, 1);
    what_was_saved_comes_back(1000, 2);
    what_was_saved_comes_back(777, 4);
    an_empty_index_comes_back();
    a_larger_set_takes_it();
    truncations_and_flips_are_rejected();
    made_up_data_does_no_harm();
    foreign_data_is_rejected();
    loading_is_ten_times_faster_than_building();
    return result();
}
