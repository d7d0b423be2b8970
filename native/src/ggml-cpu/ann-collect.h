// Streaming top-k: scores arrive in ascending cell order, the best n_top_k stay. Memory does not grow with the cells.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

namespace ann {

// score and cell in one integer that sorts as "higher score, then lower cell"
inline uint64_t pack(float score, int32_t cell) {
    uint32_t bits;
    std::memcpy(&bits, &score, sizeof(bits));
    bits = (bits & 0x80000000u) ? ~bits : (bits | 0x80000000u);
    return ((uint64_t) bits << 32) | (uint32_t) ~cell;
}

inline int32_t cell_of(uint64_t packed) { return (int32_t) ~(uint32_t) packed; }

inline float score_of(uint64_t packed) {
    uint32_t bits = (uint32_t) (packed >> 32);
    bits = (bits & 0x80000000u) ? (bits & 0x7fffffffu) : ~bits;
    float score;
    std::memcpy(&score, &bits, sizeof(score));
    return score;
}

struct collector {
    uint64_t * items; // [capacity]
    int32_t    n;
    int32_t    n_top_k;
    int32_t    capacity;
    float      threshold; // scores at or below it cannot enter: they come from higher cells than the n_top_k kept ones

    static int32_t capacity_for(int32_t n_top_k) { return n_top_k + std::max(n_top_k, 1024); }

    void reset(uint64_t * memory, int32_t n_best) {
        items     = memory;
        n         = 0;
        n_top_k   = n_best;
        capacity  = capacity_for(n_best);
        threshold = -INFINITY;
    }

    // keeps the best n_top_k, unordered
    void shrink() {
        if (n <= n_top_k) {
            return;
        }
        if (n_top_k == 0) {
            n         = 0;
            threshold = INFINITY;
            return;
        }
        std::nth_element(items, items + n_top_k - 1, items + n, std::greater<uint64_t>());
        n         = n_top_k;
        threshold = score_of(items[n_top_k - 1]);
    }

    void add(float score, int32_t cell) {
        if (score > threshold) {
            items[n++] = pack(score, cell);
            if (n == capacity) {
                shrink();
            }
        }
    }
};

} // namespace ann
