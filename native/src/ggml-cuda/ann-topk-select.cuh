// The best cells of a row of sortable integers. What for: ann-topk.cu.
#pragma once

#include "ann-topk-finish.cuh"

namespace {

static __device__ __forceinline__ uint32_t at(const uint4 & x, int i) { return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w; }

// Counts the keys of a row by bins, of those that can matter: an eighth of the row first; what does not reach its best
// places does not reach those of the row.
template <int N>
static __device__ void count_bins(const topk_args & a, const uint32_t * keys, uint32_t need, uint32_t * bins, uint32_t * sums, place * res) {
    constexpr int N_LOADS = 4; // in flight
    constexpr int STEP    = 4*N*N_LOADS;
    for (int i = threadIdx.x; i < N_BINS; i += N) {
        bins[i] = 0;
    }
    __syncthreads();
    uint32_t least = 1;
    for (int pass = 0; pass < 2; ++pass) {
        for (int64_t j0 = 0; j0 < a.n_kv; j0 += STEP) {
            if ((j0/STEP % 8 == 0) != (pass == 0)) {
                continue;
            }
            uint4 x[N_LOADS];
#pragma unroll
            for (int n = 0; n < N_LOADS; ++n) {
                const int64_t j = j0 + 4*(n*N + (int) threadIdx.x);
                x[n] = j < a.n_kv ? *(const uint4 *) (keys + j) : make_uint4(0, 0, 0, 0);
            }
#pragma unroll
            for (int n = 0; n < N_LOADS; ++n) {
                const int64_t j = j0 + 4*(n*N + (int) threadIdx.x);
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const uint32_t bin = at(x[n], i) >> BIN_SHIFT;
                    if (bin >= least && j + i < a.n_kv) {
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
        count_bins<N>(a, keys, n_search, shared.counted, m.sums, &m.res);
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

} // namespace
