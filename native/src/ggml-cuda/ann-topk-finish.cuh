// From what was collected of a row to its list: what is sure, the best of the candidates, in the order of cells. What for:
// ann-topk.cu. By the last block of select_best, or by every block of attention for itself.
#pragma once

#include "ann-topk.cuh"

#include <type_traits>

namespace {

constexpr int N_DIGIT = 2048; // bins of a digit

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

// The need-th largest of n distinct numbers, digit by digit from `from` bits on; all above are those of `res`. need: of
// those with the same upper bits. All N threads. bins: [N_DIGIT]
template <int N, typename F>
static __device__ unsigned long long find_least(const F & entry, int64_t n, int from, unsigned long long res, uint32_t & need,
        uint32_t * bins, uint32_t * sums, place * found) {
    for (int shift = from - 11, width = 11; ; shift -= width) {
        if (shift < 0) { // the last digit is shorter
            width += shift;
            shift = 0;
        }
        for (int i = threadIdx.x; i < N_DIGIT; i += N) {
            bins[i] = 0;
        }
        __syncthreads();
        for (int64_t i = threadIdx.x; i < n; i += N) {
            const unsigned long long x = entry(i);
            if (shift + width == 64 || x >> (shift + width) == res >> (shift + width)) {
                atomicAdd(bins + (x >> shift & ((1u << width) - 1)), 1);
            }
        }
        const place digit = find_place<N>(bins, N_DIGIT, need, sums, found);
        res  |= (unsigned long long) digit.bin << shift;
        need -= digit.above;
        if (shift == 0 || bins[digit.bin] == need) {
            return res;
        }
        __syncthreads();
    }
}

// The cells of best to a list, ascending, -1 after the last. All N threads, after a barrier.
template <int N> static __device__ void sort_cells(const int32_t * best, int n, int32_t * list, int n_list) {
    constexpr int EACH = 4; // threads that share a comparison with all others
    for (int i0 = 0; i0 < n_list; i0 += N/EACH) {
        const int i = i0 + threadIdx.x/EACH;
        const int32_t x = i < n ? best[i] : INT32_MAX;
        int rank = 0;
#pragma unroll 4
        for (int j = threadIdx.x % EACH; j < n; j += EACH) {
            rank += best[j] < x;
        }
        for (int k = 1; k < EACH; k *= 2) {
            rank += ann_shfl_xor(rank, k);
        }
        if (i < n_list && threadIdx.x % EACH == 0) {
            list[i < n ? rank : i] = i < n ? x : -1;
        }
    }
}

// Shared memory of ann_finish; N threads, lists of up to N_MOST cells.
struct finish_scratch {
    unsigned long long ranked[N_RANKED];
    uint32_t           bins[N_DIGIT];
};
template <int N, int N_MOST> struct finish_memory {
    int32_t  best[N_MOST + 4];
    uint32_t sums[N/ANN_LANES];
    place    res;
    uint32_t n_best;
};

// All N threads, after a barrier that what was collected passed. Writes the row's list, ascending, -1 after the last,
// to `list` (shared or global memory). FRESH: collected by a kernel before this one; else by other blocks of this one.
template <bool FRESH, int N, int N_MOST>
static __device__ void ann_finish(const topk_args & a, int row, finish_memory<N, N_MOST> & m, finish_scratch & scratch, int32_t * list) {
    using sure_t = std::conditional_t<FRESH, const int32_t, const volatile int32_t>;
    using cand_t = std::conditional_t<FRESH, const unsigned long long, const volatile unsigned long long>;
    using word_t = std::conditional_t<FRESH, const uint32_t, const volatile uint32_t>;
    const uint32_t * keys = a.keys + row*a.n_stride;
    sure_t * sure     = a.sure + (int64_t) row*a.n_top_k;
    cand_t * cand     = a.cand + (int64_t) row*N_CAND;
    word_t * counters = a.counters + (int64_t) row*N_COUNTERS;
    const uint32_t n_search = a.n_top_k - a.n_always;
    constexpr int EACH = 4; // threads that share a comparison with all others

    if (threadIdx.x == 0) {
        m.n_best = 0;
    }
    for (int i = threadIdx.x; i < N_RANKED; i += N) { // most likely all of them; what is not is not used
        scratch.ranked[i] = cand[i];
    }
    const uint32_t n_sure = counters[SURE];
    const uint32_t n_cand = counters[CANDIDATES];
    const uint32_t last   = counters[LAST_BIN];
    __syncthreads();

    // what is sure; always first, as many as there are
    for (int i = threadIdx.x; i < a.n_top_k; i += N) {
        const int32_t j = i < (int) n_sure || i >= (int) n_search ? sure[i] : -1;
        if (j >= 0) {
            m.best[atomicAdd(&m.n_best, 1)] = j;
        }
    }

    // the best of the candidates; all entries differ, so the places are met exactly
    uint32_t need = n_search - n_sure;
    if (n_cand <= N_RANKED) {
        for (uint32_t i0 = 0; i0 < n_cand; i0 += N/EACH) {
            const uint32_t i = i0 + threadIdx.x/EACH;
            const unsigned long long mine = i < n_cand ? scratch.ranked[i] : 0;
            uint32_t rank = 0;
#pragma unroll 4
            for (uint32_t j = threadIdx.x % EACH; j < n_cand; j += EACH) {
                rank += scratch.ranked[j] > mine;
            }
            for (int n = 1; n < EACH; n *= 2) {
                rank += ann_shfl_xor(rank, n);
            }
            if (i < n_cand && rank < need && threadIdx.x % EACH == 0) {
                m.best[atomicAdd(&m.n_best, 1)] = ann_cell_of(mine);
            }
        }
    } else {
        const bool    listed = n_cand <= N_CAND;
        const int64_t n_read = listed ? n_cand : a.n_kv;
        auto entry = [&](int64_t i) -> unsigned long long {
            if (listed) {
                return cand[i];
            }
            return keys[i] >> BIN_SHIFT == last ? ann_pack(keys[i], (int32_t) i) : 0ull;
        };
        unsigned long long least_in = 0;
        if (n_cand > need) {
            least_in = find_least<N>(entry, n_read, 32 + BIN_SHIFT, (unsigned long long) last << (32 + BIN_SHIFT), need, scratch.bins, m.sums, &m.res);
        }
        for (int64_t i = threadIdx.x; i < n_read && need > 0; i += N) {
            const unsigned long long x = entry(i);
            if (x != 0 && x >= least_in) {
                m.best[atomicAdd(&m.n_best, 1)] = ann_cell_of(x);
            }
        }
    }
    __syncthreads();

    sort_cells<N>(m.best, (int) m.n_best, list, a.n_top_k);
}

} // namespace
