#include "checksum.h"

#include <cstring>

namespace ann_idx {

namespace {

constexpr uint64_t prime_a = 0x9e3779b97f4a7c15;
constexpr uint64_t prime_b = 0xbf58476d1ce4e5b9;

uint64_t rotate(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

// A permutation of lane for each word, and of word for each lane.
uint64_t absorb(uint64_t lane, uint64_t word) {
    return rotate(lane + word * prime_b, 31) * prime_a;
}

uint64_t finish(uint64_t x) {
    x = (x ^ x >> 30) * prime_b;
    x = (x ^ x >> 27) * prime_a;
    return x ^ x >> 31;
}

uint64_t load(const uint8_t * at, size_t n) {
    uint64_t word = 0;
    std::memcpy(&word, at, n);
    return word;
}

}  // namespace

uint64_t checksum(const void * data, size_t n_bytes, uint64_t seed) {
    const auto *    at      = static_cast<const uint8_t *>(data);
    const uint8_t * end     = at + n_bytes;
    uint64_t        lane[4] = { seed, seed + prime_a, seed ^ prime_b, seed - prime_a };
    for (; end - at >= 32; at += 32) {
        for (int i = 0; i < 4; ++i) {
            lane[i] = absorb(lane[i], load(at + 8 * i, 8));
        }
    }
    uint64_t res = n_bytes;
    for (const uint64_t one : lane) {
        res = absorb(res, one);
    }
    for (; end - at >= 8; at += 8) {
        res = absorb(res, load(at, 8));
    }
    return finish(absorb(res, load(at, size_t(end - at))));
}

}  // namespace ann_idx
