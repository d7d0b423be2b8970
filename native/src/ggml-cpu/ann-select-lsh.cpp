// Reformer's buckets: a vector falls into the bucket of the random direction (or its opposite) that it points along most.

#include "ann-select.h"

#include <algorithm>

using namespace ann;

namespace {

// directions of all rotations: [N_ROTATION][N_BUCKET/2][d] of +1 and -1
void make_directions(const select_args & a, float * directions) {
    for (int64_t i = 0; i < N_ROTATION*(N_BUCKET/2)*a.d; ++i) {
        directions[i] = hash(a.seed, (uint64_t) i) & 1 ? 1.0f : -1.0f;
    }
}

uint8_t bucket_of(const float * x, const float * directions, int64_t d) {
    int best = 0;
    float best_value = -INFINITY;
    for (int b = 0; b < N_BUCKET/2; ++b) {
        const float v = dot(directions + b*d, x, d);
        if (v > best_value) {
            best_value = v;
            best = b;
        }
        if (-v > best_value) {
            best_value = -v;
            best = b + N_BUCKET/2;
        }
    }
    return (uint8_t) best;
}

} // namespace

// [n_stream][n_kv][n_head_kv][N_ROTATION] buckets
size_t ann::lsh_bytes(const select_args & a) { return a.n_stream*a.n_kv*a.n_head_kv*N_ROTATION; }

void ann::lsh_prepare(const select_args & a, int ith, int nth, uint8_t * shared, float * scratch) {
    float * directions = scratch + 2*a.d;
    make_directions(a, directions);
    for (int64_t i = ith; i < a.n_stream*a.n_kv*a.n_head_kv; i += nth) {
        const int64_t h = i % a.n_head_kv, j = i/a.n_head_kv % a.n_kv, s = i/(a.n_head_kv*a.n_kv);
        const float * key = row_floats(a.k->type, row_of(a.k, j, h, s), a.d, scratch);
        for (int r = 0; r < N_ROTATION; ++r) {
            shared[i*N_ROTATION + r] = bucket_of(key, directions + r*(N_BUCKET/2)*a.d, a.d);
        }
    }
}

void ann::score_lsh(const select_args & a, int64_t t, int64_t s, const uint8_t * shared, float * scores, float * scratch) {
    const float * directions = scratch + 2*a.d; // from the preparation
    for (int64_t h = 0; h < a.n_head; ++h) {
        uint8_t mine[N_ROTATION];
        for (int r = 0; r < N_ROTATION; ++r) {
            mine[r] = bucket_of(a.query(t, h, s), directions + r*(N_BUCKET/2)*a.d, a.d);
        }
        for (int64_t j = 0; j < a.n_kv; ++j) {
            const uint8_t * key = shared + ((s*a.n_kv + j)*a.n_head_kv + h/a.n_group)*N_ROTATION;
            for (int r = 0; r < N_ROTATION; ++r) {
                scores[j] += key[r] == mine[r]; // -INFINITY stays
            }
        }
    }
    for (int64_t j = 0; j < a.n_kv; ++j) {
        scores[j] += 0.5f*j/a.n_kv; // equally often in one bucket: the later cell
    }
}
