// The best cells of a row of sortable integers. What for: ann-topk.cu.
#pragma once

#include "ann-topk-finish.cuh"
#include "ann-topk-scores.cuh"

namespace {

static __device__ __forceinline__ uint32_t at(const uint4 & x, int i) { return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w; }

// Counts the keys of a row by bins, of those that can matter: an eighth of the row first; what does not reach its best
// places does not reach those of the row.
template <int N>
static __device__ void count_bins(const uint32_t * keys, int n_keys, uint32_t need, uint32_t * bins, uint32_t * sums, place * res) {
    constexpr int N_LOADS = 4; // in flight
    constexpr int STEP    = 4*N*N_LOADS;
    for (int i = threadIdx.x; i < N_BINS; i += N) {
        bins[i] = 0;
    }
    __syncthreads();
    uint32_t least = 1;
    for (int pass = 0; pass < 2; ++pass) {
        for (int64_t j0 = 0; j0 < n_keys; j0 += STEP) {
            if ((j0/STEP % 8 == 0) != (pass == 0)) {
                continue;
            }
            uint4 x[N_LOADS];
#pragma unroll
            for (int n = 0; n < N_LOADS; ++n) {
                const int64_t j = j0 + 4*(n*N + (int) threadIdx.x);
                x[n] = j < n_keys ? *(const uint4 *) (keys + j) : make_uint4(0, 0, 0, 0);
            }
#pragma unroll
            for (int n = 0; n < N_LOADS; ++n) {
                const int64_t j = j0 + 4*(n*N + (int) threadIdx.x);
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const uint32_t bin = at(x[n], i) >> BIN_SHIFT;
                    if (bin >= least && j + i < n_keys) {
                        atomicAdd(bins + bin, 1);
                    }
                }
            }
        }
        if (pass == 0) {
            least = max(find_place<N>(bins, N_BINS, need, sums, res).bin, 1u);
        }
    }
}

// Blocks of a row (gridDim.x) collect from their parts. BINS: the scores kernel has counted; N: threads. FINISH: the last
// one of them to end writes the list; else that is for who reads what was collected.
template <bool BINS, bool FINISH, int N>
static __global__ void __launch_bounds__(N) select_best(const topk_args a) {
    __shared__ union {
        uint32_t       counted[BINS ? 1 : N_BINS];
        finish_scratch scratch;
    } shared;
    __shared__ finish_memory<N, FINISH ? N_BEST : 4> m;
    __shared__ uint32_t finished;

    const int row = blockIdx.y;
    const int t   = a.t0 + row % a.n_t;
    const int s   = a.s0 + row / a.n_t;
    const uint32_t * keys     = a.keys + row*a.n_stride;
    uint32_t       * counters = a.counters + (int64_t) row*N_COUNTERS;
    int32_t        * sure     = a.sure + (int64_t) row*a.n_top_k;
    unsigned long long * cand = a.cand + (int64_t) row*N_CAND;
    const uint32_t n_search   = a.n_top_k - a.n_always;

    ann_begin();

    // phase 1: the bin of the last place
    const int64_t n_part = (a.n_kv + (int64_t) gridDim.x - 1)/gridDim.x;
    const int64_t begin  = (blockIdx.x*n_part + 3)/4*4; // parts begin at a multiple of 4
    const int64_t end    = min((int64_t) a.n_kv, ((blockIdx.x + 1)*n_part + 3)/4*4);
    const int64_t mine   = begin + 4*threadIdx.x;
    uint4 next = mine < end ? *(const uint4 *) (keys + mine) : make_uint4(0, 0, 0, 0); // on its way during phase 1
    if (blockIdx.x == 0) {
        for (int i = threadIdx.x; i < a.n_always; i += N) {
            sure[n_search + i] = ((const int32_t *) (a.always + t*a.nba1 + s*a.nba3))[i];
        }
    }
    const uint32_t * counted = BINS ? a.bins + (int64_t) row*N_BINS : shared.counted;
    if (!BINS) {
        count_bins<N>(keys, a.n_kv, n_search, shared.counted, m.sums, &m.res);
    }
    const place last = n_search > 0 ? find_place<N>(counted, N_BINS, n_search, m.sums, &m.res) : place { N_BINS, 0 };
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        counters[LAST_BIN] = last.bin;
    }

    // phase 2: what lies above the bin of the last place is in; what lies in it is a candidate
    for (int64_t j = mine; j < end; j += 4*N) {
        const uint4 x = next;
        next = j + 4*N < end ? *(const uint4 *) (keys + j + 4*N) : make_uint4(0, 0, 0, 0);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const uint32_t bin = at(x, i) >> BIN_SHIFT;
            if (bin == 0 || bin < last.bin || j + i >= end) {
                continue;
            }
            if (bin > last.bin) {
                sure[atomicAdd(counters + SURE, 1)] = (int32_t) (j + i);
            } else {
                const uint32_t n = atomicAdd(counters + CANDIDATES, 1);
                if (n < N_CAND) {
                    cand[n] = ann_pack(at(x, i), (int32_t) (j + i));
                }
            }
        }
    }
    if constexpr (FINISH) {
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            finished = gridDim.x > 1 ? atomicAdd(counters + FINISHED, 1) : 0;
        }
        __syncthreads();
        if (finished != gridDim.x - 1) {
            return;
        }
        __threadfence();
        ann_finish<false>(a, row, m, shared.scratch, a.dst + ((int64_t) s*a.n_tokens + t)*a.n_top_k);
    }
}

// A row's best keys of its sample (keys: [n_virtual]): the least of them, and the beginning of its list. grid: (1, rows)
template <int N>
static __global__ void __launch_bounds__(N) bound_by_sample(const topk_args a) {
    __shared__ uint32_t bins[N_BINS];
    __shared__ uint32_t sums[N/ANN_LANES];
    __shared__ place    res;

    const int row = blockIdx.y;
    const uint32_t * keys = a.keys + row*a.n_stride;
    ann_begin();

    const uint32_t need = a.n_top_k - a.n_always;
    count_bins<N>(keys, a.n_virtual, need, bins, sums, &res);
    place last = need > 0 ? find_place<N>(bins, N_BINS, need, sums, &res) : place { N_BINS, 0 };
    uint32_t least = last.bin << BIN_SHIFT;
    if (need > 0 && last.bin > 0) { // 11 bits more
        constexpr int SHIFT = BIN_SHIFT - 11;
        __syncthreads();
        for (int i = threadIdx.x; i < N_DIGIT; i += N) {
            bins[i] = 0;
        }
        __syncthreads();
        for (int j = threadIdx.x; j < a.n_virtual; j += N) {
            if (keys[j] >> BIN_SHIFT == last.bin) {
                atomicAdd(bins + (keys[j] >> SHIFT & (N_DIGIT - 1)), 1);
            }
        }
        least |= find_place<N>(bins, N_DIGIT, need - last.above, sums, &res).bin << SHIFT;
    }
    least = need > 0 ? max(least, 1u) : 0xffffffffu; // fewer than needed: all that is visible
    if (threadIdx.x == 0) {
        a.least[row] = least;
    }
    for (int j = threadIdx.x; j < a.n_virtual; j += N) {
        const uint32_t key = keys[j];
        if (key >= least) {
            const uint32_t n = atomicAdd(a.counters + (int64_t) row*N_COUNTERS + CANDIDATES, 1);
            if (n < N_CAND) {
                a.cand[(int64_t) row*N_CAND + n] = ann_pack(key, j/N_TILE*a.n_step*N_TILE + j % N_TILE);
            }
        }
    }
}

// The best of a list that holds all that can be among them, or, where the list was too short (many equal keys), of all
// cells, with the scores computed anew for every digit. The always-attended cells may be listed and do not compete.
// grid: (1, rows)
template <ggml_type type, int N>
static __global__ void __launch_bounds__(N) select_listed(const topk_args a) {
    __shared__ uint32_t bins[N_DIGIT];
    __shared__ uint32_t sums[N/ANN_LANES];
    __shared__ int32_t  best[N_BEST];
    __shared__ int32_t  always[N_BEST];
    __shared__ place    res;
    __shared__ uint32_t n_best, n_compete;

    const int row = blockIdx.y;
    const int t   = a.t0 + row % a.n_t;
    const int s   = a.s0 + row / a.n_t;
    ann_begin();

    if (threadIdx.x == 0) {
        n_best = n_compete = 0;
    }
    for (int i = threadIdx.x; i < a.n_always; i += N) {
        always[i] = ((const int32_t *) (a.always + t*a.nba1 + s*a.nba3))[i];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < a.n_always; i += N) {
        if (always[i] >= 0) {
            best[atomicAdd(&n_best, 1)] = always[i];
        }
    }
    auto is_always = [&](int32_t cell) {
        bool found = false;
        for (int i = 0; i < a.n_always; ++i) {
            found |= always[i] == cell;
        }
        return found;
    };
    const uint32_t need = a.n_top_k - a.n_always;
    auto take = [&](const auto & entry, int64_t n) { // entry: 0 for what does not compete
        for (int64_t i = threadIdx.x; i < n; i += N) {
            if (entry(i) != 0) {
                atomicAdd(&n_compete, 1);
            }
        }
        __syncthreads();
        unsigned long long least = need > 0 ? 1 : ~0ull;
        if (need > 0 && n_compete > need) {
            uint32_t left = need;
            least = find_least<N>(entry, n, 64, 0ull, left, bins, sums, &res);
        }
        for (int64_t i = threadIdx.x; i < n; i += N) {
            if (entry(i) >= least) {
                best[atomicAdd(&n_best, 1)] = ann_cell_of(entry(i));
            }
        }
        __syncthreads();
    };

    const uint32_t n_listed = a.counters[(int64_t) row*N_COUNTERS + CANDIDATES];
    if (n_listed <= N_CAND) {
        unsigned long long * cand = a.cand + (int64_t) row*N_CAND;
        for (uint32_t i = threadIdx.x; i < n_listed; i += N) {
            cand[i] = is_always(ann_cell_of(cand[i])) ? 0 : cand[i];
        }
        __syncthreads();
        take([&](int64_t i) { return cand[i]; }, n_listed);
    } else {
        const float * q = (const float *) (a.q + t*a.nbq1 + s*a.nbq3);
        const int2 range = range_of(a, s, t);
        const bool by_range = a.mask_is == mask_kind::ranges;
        take([&](int64_t i) {
            const int j = (int) i;
            if ((by_range ? is_hidden<true>(a, s, t, range, j) : is_hidden<false>(a, s, t, range, j)) || is_always(j)) {
                return 0ull;
            }
            const char * key = a.k + j*a.nbk1 + s*a.nbk3;
            float sum = 0.0f;
            for (int e = 0; e < a.d; e += 4) {
                const float4 x = ann_row<type>::load4(key, e);
                sum += x.x*q[e] + x.y*q[e + 1] + x.z*q[e + 2] + x.w*q[e + 3];
            }
            const uint32_t bits = ann_key(sum);
            return bits != 0 ? ann_pack(bits, j) : 0ull;
        }, a.n_kv);
    }
    sort_cells<N>(best, (int) n_best, a.dst + ((int64_t) s*a.n_tokens + t)*a.n_top_k, a.n_top_k);
}

} // namespace
