// One writer per shard, then a barrier, then any number of readers: run it under the thread sanitizer.
#include "check.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <thread>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr int     dim       = 32;
constexpr int32_t n_cells   = 2400;
constexpr int     n_shards  = 3;
constexpr int     n_readers = 4;

template <class Work> void on_threads(int n, Work work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < n; ++i) {
        threads.emplace_back(work, i);
    }
    for (std::thread & thread : threads) {
        thread.join();
    }
}

}  // namespace

int main() {
    const std::vector<float> values = token_keys(dim, 3).keys(n_cells);
    const key_rows           rows   = store_rows(vector_type::q8_0, dim, values);
    index_set                set(rows.view, { hnsw_params{}, n_shards });
    auto                     flat = make_flat_index(rows.view);
    search_scratch           scratch;
    for (int32_t first = 0; first < n_cells; first += n_cells / 8) {
        std::vector<int32_t> cells;
        for (int32_t cell = first; cell < first + n_cells / 8; ++cell) {
            cells.push_back(cell);
            flat->insert(cell, scratch);
        }
        set.mark_written(cells.data(), cells.size());
        on_threads(n_shards, [&](int s) {
            search_scratch own;
            set.insert_pending(s, 80, own);  // some stay pending
        });
        std::vector<found_cells> found(n_readers * 10);
        on_threads(n_readers, [&](int reader) {
            search_scratch own;
            for (size_t q = 0; q < 10; ++q) {
                set.search({ values.data() + q * dim, 16, 64, cell_filter::all(n_cells) }, own, found[size_t(reader) * 10 + q]);
            }
        });
        for (size_t i = 0; i < found.size(); ++i) {
            CHECK(equal(found[i], found[i % 10]));  // every reader sees the same
            const found_cells best = search(*flat, values.data() + i % 10 * dim, 16, 16, cell_filter::all(n_cells));
            CHECK(n_common(found[i], best) >= 15);
        }
        // A query's shards on different threads, merged after the barrier.
        found_cells parts[n_shards], merged;
        on_threads(n_shards, [&](int s) {
            search_scratch own;
            set.search_shard(s, { values.data(), 16, 64, cell_filter::all(n_cells) }, own, parts[s]);
        });
        for (const found_cells & part : parts) {
            merged.insert(merged.end(), part.begin(), part.end());
        }
        index_set::merge(merged, 16);
        CHECK(equal(merged, found[0]));
    }
    set.build(8);
    CHECK(set.stats().total.n_indexed == n_cells);
    return result();
}
