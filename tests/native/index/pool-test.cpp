// Order of scored cells, the pool of a walk and the collector of a scan, each against sorting.
#include "candidate-pool.h"
#include "check.h"
#include "synthetic-keys.h"
#include "top-k.h"

#include <limits>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

void keys_order_as_scored_cells_do() {
    const float scores[] = { infinity, 3.0f, 1e-30f, 0.0f, -0.0f, -1e-30f, -2.5f, -infinity };
    for (const float a : scores) {
        for (const float b : scores) {
            for (const int32_t i : { 0, 1, max_cells - 1 }) {
                for (const int32_t j : { 0, 1, max_cells - 1 }) {
                    CHECK((key_of(a, i) > key_of(b, j)) == (scored_cell{ a, i } < scored_cell{ b, j }));
                }
            }
        }
        CHECK(score_of(key_of(a, 77)) == a);
        CHECK(cell_of(key_of(a, 77)) == 77);
    }
    CHECK(score_of(key_of(std::numeric_limits<float>::quiet_NaN(), 5)) == -infinity);
    CHECK(cell_of(key_of(1.0f, max_cells - 1)) == max_cells - 1);
}

void collector_keeps_the_best() {
    random_source random(4);
    for (const int top_k : { 1, 7, 128, 5000 }) {
        std::vector<scored_cell> all, kept;
        top_k_collector          collector;
        collector.reset(top_k);
        for (int32_t cell = 0; cell < 3000; ++cell) {
            all.push_back({ float(random.below(500)), cell });
            collector.add(all.back().score, cell);
        }
        std::sort(all.begin(), all.end());
        all.resize(std::min(all.size(), size_t(top_k)));
        collector.append_to(kept);
        CHECK(kept.size() == all.size());
        for (size_t i = 0; i < kept.size(); ++i) {
            CHECK(kept[i].cell == all[i].cell);
        }
    }
}

// The pool holds the ef best that count, and every other better than the worst of them.
void pool_keeps_the_best_that_count(uint64_t seed) {
    random_source         random(seed);
    const int             ef = 1 + random.below(40);
    candidate_pool        pool;
    std::vector<rank_key> counted;
    std::vector<int32_t>  expanded;
    pool.reset(ef, 100000);
    for (int32_t cell = 0; cell < 2000; ++cell) {
        const rank_key key    = key_of(float(random.below(300)), cell);
        const bool     counts = random.below(3) > 0;
        if (pool.wants(key)) {
            pool.insert(key, counts);
        }
        if (counts) {
            counted.push_back(key);
        }
        if (random.below(4) == 0 && pool.peek() >= 0) {
            const int32_t next = pool.peek();
            CHECK(pool.expand_next() == next);
            expanded.push_back(next);
        }
    }
    std::sort(counted.begin(), counted.end(), std::greater<rank_key>());
    size_t n = 0;
    pool.for_each_counted([&](rank_key key) { return CHECK(key == counted[n++]); });
    CHECK(n == size_t(ef));
    while (pool.peek() >= 0) {
        expanded.push_back(pool.expand_next());
    }
    CHECK(pool.expand_next() == -1);
    std::sort(expanded.begin(), expanded.end());
    CHECK(std::adjacent_find(expanded.begin(), expanded.end()) == expanded.end());
    CHECK(!pool.has_overflowed());
}

void pool_tells_of_overflow() {
    candidate_pool pool;
    pool.reset(2, 8);
    for (int32_t cell = 0; cell < 9; ++cell) {
        pool.insert(key_of(float(cell), cell), false);
    }
    CHECK(pool.has_overflowed());
    pool.reset(2, 8);
    CHECK(!pool.has_overflowed());
    CHECK(pool.peek() == -1);
}

}  // namespace

int main() {
    keys_order_as_scored_cells_do();
    collector_keeps_the_best();
    for (uint64_t seed = 0; seed < 200; ++seed) {
        pool_keeps_the_best_that_count(seed);
    }
    pool_tells_of_overflow();
    return result();
}
