// Small matrix products over tiles of cells, for work with many queries (prefill).
#pragma once

#include "ann-simd.h"

#include <algorithm>

namespace ann {

constexpr int64_t N_TILE_CELLS = 64; // cells of a tile
constexpr int     N_TILE_ROWS  = 6;  // rows of a product computed together: 12 sums and 3 operands fit 16 registers

// c[r][j] (+)= sum over e < n_e of a[r][e]*b[e*n_j + j], for N_TILE_ROWS rows and n_j columns, a multiple of VF
template <bool ADD>
void tile_product(const float * const * a, const float * b, int64_t n_e, int64_t n_j, float * const * c) {
    int64_t j = 0;
    for (; j + 2*VF <= n_j; j += 2*VF) {
        vf acc[N_TILE_ROWS][2] = {};
        for (int r = 0; ADD && r < N_TILE_ROWS; ++r) {
            acc[r][0] = load(c[r] + j);
            acc[r][1] = load(c[r] + j + VF);
        }
        for (int64_t e = 0; e < n_e; ++e) {
            const vf b0 = load(b + e*n_j + j);
            const vf b1 = load(b + e*n_j + j + VF);
            for (int r = 0; r < N_TILE_ROWS; ++r) {
                const vf x = splat(a[r][e]);
                acc[r][0] += x*b0;
                acc[r][1] += x*b1;
            }
        }
        for (int r = 0; r < N_TILE_ROWS; ++r) {
            store(c[r] + j,      acc[r][0]);
            store(c[r] + j + VF, acc[r][1]);
        }
    }
    for (; j < n_j; j += VF) {
        for (int r = 0; r < N_TILE_ROWS; ++r) {
            vf acc = {};
            if (ADD) {
                acc = load(c[r] + j);
            }
            for (int64_t e = 0; e < n_e; ++e) {
                acc += splat(a[r][e])*load(b + e*n_j + j);
            }
            store(c[r] + j, acc);
        }
    }
}

// tile[e*N_TILE_CELLS + j] = component e of the row of cell j; rows lie nb bytes apart; past n the last one again.
// tmp: 4*n_e floats
inline void transpose_tile(ggml_type type, const char * rows, size_t nb, int64_t n, int64_t n_e, float * tmp, float * tile) {
    typedef float v4 __attribute__((vector_size(16)));
    for (int64_t j = 0; j < N_TILE_CELLS; j += 4) {
        const float * x[4];
        for (int64_t i = 0; i < 4; ++i) {
            x[i] = row_as_f32(type, rows + std::min(j + i, n - 1)*nb, n_e, tmp + i*n_e);
        }
        int64_t e = 0;
        for (; e + 4 <= n_e; e += 4) {
            v4 r[4];
            for (int i = 0; i < 4; ++i) {
                std::memcpy(&r[i], x[i] + e, sizeof(v4));
            }
            const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
            const v4 b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
            const v4 c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
            const v4 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
            const v4 t[4] = {
                __builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
                __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7),
            };
            for (int i = 0; i < 4; ++i) {
                std::memcpy(tile + (e + i)*N_TILE_CELLS + j, &t[i], sizeof(v4));
            }
        }
        for (; e < n_e; ++e) {
            for (int64_t i = 0; i < 4; ++i) {
                tile[e*N_TILE_CELLS + j + i] = x[i][e];
            }
        }
    }
}

} // namespace ann
