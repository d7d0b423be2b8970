// The best cells of a row of sortable integers. What for: ann-topk.cu.
#pragma once

#include "ann-topk.cuh"

namespace {

struct place {
    uint32_t bin, above; // the bin that the place falls in, and the entries in higher bins
};

// All N threads. bins: [n_bins]; the bin of the need-th entry from the top, or bin 0 when there are fewer.
template <int N>
static __device__ place find_place(const uint32_t * bins, int n_bins, uint32_t need, uint32_t * sums, place * res) {
    const int lane = threadIdx.x % ANN_LANES;
    const int warp = threadIdx.x / ANN_LANES;
    const int per  = n_bins/N;
    const int top  = n_bins - 1 - threadIdx.x*per;

    __syncthreads();
    uint32_t sum = 0;
    for (int i = 0; i < per; ++i) {
        sum += bins[top - i];
    }
    uint32_t upto = sum;
    for (int n = 1; n < ANN_LANES; n *= 2) {
        const uint32_t x = __shfl_up_sync(0xffffffff, upto, n, ANN_LANES);
        upto += lane >= n ? x : 0;
    }
    if (lane == ANN_LANES - 1) {
        sums[warp] = upto;
    }
    if (threadIdx.x == 0) {
        *res = { 0, 0 };
    }
    __syncthreads();
    for (int i = 0; i < warp; ++i) {
        upto += sums[i];
    }
    uint32_t above = upto - sum;
    if (above < need && need <= upto) {
        int bin = top;
        while (above + bins[bin] < need) {
            above += bins[bin--];
        }
        *res = { (uint32_t) bin, above };
    }
    __syncthreads();
    return *res; // the next call writes it after its first barrier
}

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

// Blocks of a row (gridDim.x) collect from their parts; the last one to finish decides and writes. BINS: the scores kernel
// has counted; N: threads.
template <bool BINS, int N>
static __global__ void __launch_bounds__(N) select_best(const topk_args a) {
    constexpr int N_DIGIT = 2048; // bins of a digit
    __shared__ uint32_t bins[BINS ? N_DIGIT : N_BINS];
    __shared__ int32_t best[N_BEST + 4];
    __shared__ unsigned long long ranked[N_RANKED];
    __shared__ uint32_t sums[N/ANN_LANES];
    __shared__ place    res;
    __shared__ uint32_t n_best, finished;

    const int row = blockIdx.y;
    const int t   = a.t0 + row % a.n_t;
    const int s   = a.s0 + row / a.n_t;
    const uint32_t * keys     = a.keys + row*a.n_stride;
    uint32_t       * counters = a.counters + 3*row;
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
    const uint32_t * counted = BINS ? a.bins + (int64_t) row*N_BINS : bins;
    if (!BINS) {
        count_bins<N>(a, keys, n_search, bins, sums, &res);
    }
    const place last = n_search > 0 ? find_place<N>(counted, N_BINS, n_search, sums, &res) : place { N_BINS, 0 };

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
                sure[atomicAdd(counters, 1)] = (int32_t) (j + i);
            } else {
                const uint32_t n = atomicAdd(counters + 1, 1);
                if (n < N_CAND) {
                    cand[n] = ann_pack(at(x, i), (int32_t) (j + i));
                }
            }
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        finished = gridDim.x > 1 ? atomicAdd(counters + 2, 1) : 0;
        n_best   = 0;
    }
    __syncthreads();
    if (finished != gridDim.x - 1) {
        return;
    }
    __threadfence();

    // phase 3: what is sure; always first, as many as there are
    const uint32_t n_sure = *(volatile uint32_t *) counters;
    const uint32_t n_cand = *(volatile uint32_t *) (counters + 1);
    for (int i = threadIdx.x; i < a.n_always; i += N) {
        const int32_t j = ((const int32_t *) (a.always + t*a.nba1 + s*a.nba3))[i];
        if (j >= 0) {
            best[atomicAdd(&n_best, 1)] = j;
        }
    }
    for (uint32_t i = threadIdx.x; i < n_sure; i += N) {
        best[atomicAdd(&n_best, 1)] = ((volatile int32_t *) sure)[i];
    }

    // phase 4: the best of the candidates; all entries differ, so the places are met exactly
    uint32_t need = n_search - n_sure;
    if (n_cand <= N_RANKED) {
        for (uint32_t i = threadIdx.x; i < n_cand; i += N) {
            ranked[i] = ((volatile unsigned long long *) cand)[i];
        }
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < n_cand; i += N) {
            uint32_t rank = 0;
#pragma unroll 4
            for (uint32_t j = 0; j < n_cand; ++j) {
                rank += ranked[j] > ranked[i];
            }
            if (rank < need) {
                best[atomicAdd(&n_best, 1)] = ann_cell_of(ranked[i]);
            }
        }
    } else {
        const bool    listed = n_cand <= N_CAND;
        const int64_t n_read = listed ? n_cand : a.n_kv;
        auto entry = [&](int64_t i) -> unsigned long long {
            if (listed) {
                return ((volatile unsigned long long *) cand)[i];
            }
            return keys[i] >> BIN_SHIFT == last.bin ? ann_pack(keys[i], (int32_t) i) : 0ull;
        };
        unsigned long long least_in = 0; // digit by digit
        if (n_cand > need) {
            least_in = (unsigned long long) last.bin << (32 + BIN_SHIFT);
            for (int shift = 41, width = 11; ; shift -= width) {
                if (shift < 0) { // the last digit is shorter
                    width += shift;
                    shift = 0;
                }
                for (int i = threadIdx.x; i < N_DIGIT; i += N) {
                    bins[i] = 0;
                }
                __syncthreads();
                for (int64_t i = threadIdx.x; i < n_read; i += N) {
                    const unsigned long long x = entry(i);
                    if (x >> (shift + width) == least_in >> (shift + width)) {
                        atomicAdd(bins + (x >> shift & ((1u << width) - 1)), 1);
                    }
                }
                const place digit = find_place<N>(bins, N_DIGIT, need, sums, &res);
                least_in |= (unsigned long long) digit.bin << shift;
                need     -= digit.above;
                if (shift == 0 || bins[digit.bin] == need) {
                    break;
                }
                __syncthreads();
            }
        }
        for (int64_t i = threadIdx.x; i < n_read && need > 0; i += N) {
            const unsigned long long x = entry(i);
            if (x != 0 && x >= least_in) {
                best[atomicAdd(&n_best, 1)] = ann_cell_of(x);
            }
        }
    }
    __syncthreads();

    // phase 5: ascending, by rank; four at a time
    const int n = (int) n_best;
    if (threadIdx.x < 4) {
        best[n + threadIdx.x] = INT32_MAX;
    }
    __syncthreads();
    int32_t * dst = a.dst + ((int64_t) s*a.n_tokens + t)*a.n_top_k;
    for (int i = threadIdx.x; i < a.n_top_k; i += N) {
        if (i >= n) {
            dst[i] = -1;
            continue;
        }
        int rank = 0;
        const int32_t x = best[i];
#pragma unroll 4
        for (int j = 0; j < n; j += 4) {
            rank += (best[j] < x) + (best[j + 1] < x) + (best[j + 2] < x) + (best[j + 3] < x);
        }
        dst[rank] = x;
    }
}

} // namespace
