// Scores of search keys as sortable integers, counted in bins for few queries. What for: ann-topk.cu.
#pragma once

#include "ann-topk.cuh"

namespace {

// cells that query t of stream s may see; of a mask by cells: all, and is_hidden says which
static __device__ __forceinline__ int2 range_of(const topk_args & a, int s, int t) {
    if (a.mask_is == mask_kind::ranges) {
        const int32_t * range = (const int32_t *) (a.mask + t*a.nbm1 + s*a.nbm3);
        return make_int2(range[0], range[1]);
    }
    return make_int2(0, a.n_kv);
}

template <bool RANGES> static __device__ __forceinline__ bool is_hidden(const topk_args & a, int s, int t, const int2 & range, int j) {
    if constexpr (RANGES) {
        return j < range.x || j >= range.y;
    }
    return ann_is_hidden(a.mask + t*a.nbm1 + s*a.nbm3, a.mask_is == mask_kind::f32, j);
}

// Keys of the batch: a block stores those of its own cells before it reads them. All threads; ends at a barrier.
static __device__ void store_own_keys(const topk_args & a, int s, int begin, int end, float * sums) {
    for (int t = 0; a.store.raw && t < a.store.n_tokens; ++t) {
        const int64_t at = a.store.rows + a.store.idxs[t]*a.store.nb1 - (a.k + s*a.nbk3);
        if (at >= begin*a.nbk1 && at < end*a.nbk1) {
            ann_store_key<N_SCORES>(a.store, t, sums);
        }
    }
    __syncthreads();
}

// bins hold two counters a word: a block has fewer than 2^16 cells
static __device__ __forceinline__ uint32_t in_bins(uint32_t key) { return key >> BIN_SHIFT & 1 ? 0x10000u : 1u; }

static __device__ __forceinline__ void emit(const topk_args & a, int row, int j, bool hidden, float score, uint32_t * bins) {
    const uint32_t key = hidden ? 0 : ann_key(score);
    a.keys[row*a.n_stride + j] = key;
    if (bins && key != 0) {
        atomicAdd(bins + (key >> BIN_SHIFT)/2, in_bins(key));
    }
}

// which cells a launch takes; it counts them by v
enum class cells_of { all, sample, rest };

template <cells_of CELLS> static __device__ __forceinline__ int cell_of_launch(const topk_args & a, int v) {
    if constexpr (CELLS == cells_of::sample) {
        return v/N_TILE*a.n_step*N_TILE + v % N_TILE;
    } else if constexpr (CELLS == cells_of::rest) {
        const int tile = v/N_TILE;
        return (tile + tile/(a.n_step - 1) + 1)*N_TILE + v % N_TILE;
    }
    return v;
}

// The always-attended cells do not compete: what a block has emitted of them is taken back. All threads, after a barrier.
template <bool BINS, cells_of CELLS>
static __device__ void take_back_always(const topk_args & a, int row0, int s, int t0, int nq, int begin, int end, uint32_t (*bins)[BINS ? N_BINS/2 : 1]) {
    for (int n = threadIdx.x; n < nq*a.n_always; n += N_SCORES) {
        const int i = n/a.n_always;
        int j = ((const int32_t *) (a.always + (t0 + i)*a.nba1 + s*a.nba3))[n % a.n_always];
        if (CELLS == cells_of::sample && j >= 0) {
            j = j/N_TILE % a.n_step == 0 ? j/N_TILE/a.n_step*N_TILE + j % N_TILE : -1;
        }
        if (j < begin || j >= end) {
            continue;
        }
        uint32_t * key = a.keys + (row0 + i)*a.n_stride + j;
        if (BINS && *key != 0) {
            atomicSub(bins[i] + (*key >> BIN_SHIFT)/2, in_bins(*key));
        }
        *key = 0;
    }
}

static __device__ void merge_bins(const topk_args & a, int row, const uint32_t * bins) {
    for (int i = threadIdx.x; i < N_BINS/2; i += N_SCORES) {
        const uint32_t two = bins[i];
        if (two & 0xffff) {
            atomicAdd(a.bins + (int64_t) row*N_BINS + 2*i, two & 0xffff);
        }
        if (two >> 16) {
            atomicAdd(a.bins + (int64_t) row*N_BINS + 2*i + 1, two >> 16);
        }
    }
}

static __device__ void begin_block(const topk_args & a, int row0, int n_rows, bool count_anew, uint32_t * bins, int n_bins) {
    if (count_anew && blockIdx.x == 0) { // of the select kernel that follows
        for (int i = threadIdx.x; i < N_COUNTERS*n_rows; i += N_SCORES) {
            a.counters[N_COUNTERS*row0 + i] = 0;
        }
    }
    for (int i = threadIdx.x; i < n_bins; i += N_SCORES) {
        bins[i] = 0;
    }
}

// Any type and size, any hardware: 32 lanes share a key.
template <ggml_type type, bool BINS, bool RANGES>
static __global__ void __launch_bounds__(N_SCORES) scores_plain(const topk_args a) {
    constexpr int NQ = 2;
    __shared__ float    query[NQ][1024];
    __shared__ uint32_t bins[NQ][BINS ? N_BINS/2 : 1];
    __shared__ float    sums[N_SCORES/ANN_LANES];

    const int s    = a.s0 + blockIdx.z;
    const int t0   = a.t0 + blockIdx.y*NQ;
    const int nq   = min(NQ, a.t0 + a.n_t - t0);
    const int row0 = blockIdx.z*a.n_t + blockIdx.y*NQ;
    const int lane = threadIdx.x % ANN_LANES;

    ann_begin();
    begin_block(a, row0, nq, true, bins[0], BINS ? nq*N_BINS/2 : 0);
    for (int i = 0; i < NQ; ++i) {
        for (int e = threadIdx.x; e < a.d; e += N_SCORES) {
            query[i][e] = ((const float *) (a.q + (t0 + min(i, nq - 1))*a.nbq1 + s*a.nbq3))[e];
        }
    }
    int2 range[NQ];
    for (int i = 0; i < NQ; ++i) {
        range[i] = range_of(a, s, t0 + min(i, nq - 1));
    }

    const int begin = blockIdx.x*a.n_per_block;
    const int end   = min(a.n_kv, begin + a.n_per_block);
    store_own_keys(a, s, begin, end, sums);
    for (int j = begin + threadIdx.x/ANN_LANES; j < end; j += N_SCORES/ANN_LANES) {
        const char * key = a.k + j*a.nbk1 + s*a.nbk3;
        float sum[NQ] = {};
        for (int e = 4*lane; e < a.d; e += 4*ANN_LANES) {
            const float4 x = ann_row<type>::load4(key, e);
            for (int i = 0; i < NQ; ++i) {
                sum[i] += x.x*query[i][e] + x.y*query[i][e + 1] + x.z*query[i][e + 2] + x.w*query[i][e + 3];
            }
        }
        for (int i = 0; i < NQ; ++i) {
            for (int n = ANN_LANES/2; n > 0; n /= 2) {
                sum[i] += ann_shfl_xor(sum[i], n);
            }
            if (lane == 0 && i < nq) {
                emit(a, row0 + i, j, is_hidden<RANGES>(a, s, t0 + i, range[i], j), sum[i], BINS ? bins[i] : nullptr);
            }
        }
    }

    __syncthreads();
    take_back_always<BINS, cells_of::all>(a, row0, s, t0, nq, begin, end, bins);
    if (BINS) {
        __syncthreads();
        for (int i = 0; i < nq; ++i) {
            merge_bins(a, row0 + i, bins[i]);
        }
    }
}

#if defined(ANN_MMA_AVAILABLE)
// A tile of 16 keys in the registers of 32 lanes, ready to be the left operand. The dims are dealt to the lanes so that a
// lane reads them in one piece (the order of a sum's terms is free as long as the query has the same one): lane 4g + t
// holds dims 32i + 8t ... + 8 of keys g and g + 8.
template <ggml_type type, int D> struct key_tile {
    uint4 lo[D/32]; // key g
    uint4 hi[D/32]; // key g + 8
    float scale_lo[type == GGML_TYPE_Q8_0 ? D/32 : 1];
    float scale_hi[type == GGML_TYPE_Q8_0 ? D/32 : 1];

    // 4 signed bytes -> 4 f16, exactly: 1024 + u has u in its lowest bits
    static __device__ __forceinline__ uint2 bytes_to_halves(uint32_t x) {
        const uint32_t u = x ^ 0x80808080u;
        uint32_t h[2] = { __byte_perm(u, 0x64646464u, 0x4140), __byte_perm(u, 0x64646464u, 0x4342) };
        const uint32_t bias = 0x64806480u; // 1024 + 128
        for (int i = 0; i < 2; ++i) {
            const half2 y = __hsub2(*(const half2 *) &h[i], *(const half2 *) &bias);
            h[i] = *(const uint32_t *) &y;
        }
        return make_uint2(h[0], h[1]);
    }

    static __device__ __forceinline__ void load_row(const char * row, int t, uint4 * x, float * scale) {
        if constexpr (type == GGML_TYPE_F16) {
            for (int i = 0; i < D/32; ++i) {
                x[i] = *(const uint4 *) (row + i*64 + t*16);
            }
            GGML_UNUSED(scale);
        } else {
            // blocks of 2 + 32 bytes in a row aligned to 4: the bytes of every other block begin in the middle of a word
            for (int i = 0; i < D/32; ++i) {
                uint2 raw;
                if (i % 2 == 0) {
                    const uint32_t * w = (const uint32_t *) (row + 34*i + 8*t);
                    const uint32_t w0 = w[0], w1 = w[1], w2 = ((const uint16_t *) w)[4];
                    raw = make_uint2(w0 >> 16 | w1 << 16, w1 >> 16 | w2 << 16);
                } else {
                    const uint32_t * w = (const uint32_t *) (row + 34*i + 2 + 8*t);
                    raw = make_uint2(w[0], w[1]);
                }
                const uint2 a = bytes_to_halves(raw.x);
                const uint2 b = bytes_to_halves(raw.y);
                x[i] = make_uint4(a.x, a.y, b.x, b.y);
                scale[i] = __half2float(*(const half *) (row + 34*i));
            }
        }
    }

    __device__ __forceinline__ void load(const char * row_lo, const char * row_hi, int t) {
        load_row(row_lo, t, lo, scale_lo);
        load_row(row_hi, t, hi, scale_hi);
    }

    // scores of the lane's two keys with query t of four; query: [D/32][32 lanes]
    __device__ __forceinline__ float2 dot(const uint4 * query, int lane) const {
        float2 res = make_float2(0.0f, 0.0f);
        float c[4] = { 0.0f, 0.0f, 0.0f, 0.0f };
#pragma unroll
        for (int i = 0; i < D/32; ++i) {
            const uint4 b = query[i*ANN_LANES + lane];
            const uint32_t a0[4] = { lo[i].x, hi[i].x, lo[i].y, hi[i].y };
            const uint32_t a1[4] = { lo[i].z, hi[i].z, lo[i].w, hi[i].w };
            ann_mma(c, a0, b.x, b.y);
            ann_mma(c, a1, b.z, b.w);
            if constexpr (type == GGML_TYPE_Q8_0) {
                res.x += scale_lo[i]*(c[0] + c[1]);
                res.y += scale_hi[i]*(c[2] + c[3]);
                c[0] = c[1] = c[2] = c[3] = 0.0f;
            }
        }
        if constexpr (type == GGML_TYPE_F16) {
            res = make_float2(c[0] + c[1], c[2] + c[3]);
        }
        return res;
    }
};
#endif

// NT: tiles of 4 queries. RANGES: the mask is ranges. A query takes two columns of the right operand, its f16 rounding and
// the rest that rounding lost, so that scores keep the precision of f32 queries; it is scaled by a power of two first (its
// scale is free).
template <ggml_type type, int D, int NT, bool BINS, bool RANGES, cells_of CELLS>
static __global__ void __launch_bounds__(N_SCORES) scores_mma(const topk_args a) {
#if defined(ANN_MMA_AVAILABLE)
    constexpr int NQ = 4*NT;
    static_assert(NT <= 16, "two bits of hidden a tile");
    __shared__ uint4    query[NT][D/32][ANN_LANES];
    __shared__ uint32_t bins[NQ][BINS ? N_BINS/2 : 1];
    __shared__ int2     range[NQ];
    __shared__ uint32_t least[CELLS == cells_of::rest ? NQ : 1];
    __shared__ float    sums[N_SCORES/ANN_LANES];

    const int s    = a.s0 + blockIdx.z;
    const int t0   = a.t0 + blockIdx.y*NQ;
    const int nq   = min(NQ, a.t0 + a.n_t - t0);
    const int row0 = blockIdx.z*a.n_t + blockIdx.y*NQ;
    const int lane = threadIdx.x % ANN_LANES;
    const int warp = threadIdx.x / ANN_LANES;

    const int begin = blockIdx.x*a.n_per_block;
    const int end   = min(CELLS == cells_of::all ? a.n_kv : a.n_virtual, begin + a.n_per_block);
    const char * rows = a.k + s*a.nbk3;
    for (int j = begin + threadIdx.x; BINS && j < min(end, begin + N_SCORES); j += N_SCORES) { // the first of each warp's tiles
        ann_prefetch(rows + j*a.nbk1);
        if (a.nbk1 > 128) {
            ann_prefetch(rows + j*a.nbk1 + 128);
        }
    }
    ann_begin();
    begin_block(a, row0, nq, CELLS != cells_of::rest, bins[0], BINS ? nq*N_BINS/2 : 0);
    for (int i = threadIdx.x; i < NQ; i += N_SCORES) {
        range[i] = range_of(a, s, t0 + min(i, nq - 1));
        if (CELLS == cells_of::rest) {
            least[i] = a.least[row0 + min(i, nq - 1)];
        }
    }
    for (int i = warp; i < NQ; i += N_SCORES/ANN_LANES) {
        const float * q = (const float *) (a.q + (t0 + min(i, nq - 1))*a.nbq1 + s*a.nbq3);
        float x[D/ANN_LANES];
        float amax = 0.0f;
        for (int n = 0; n < D/ANN_LANES; ++n) {
            x[n] = i < nq ? q[n*ANN_LANES + lane] : 0.0f;
            amax = fmaxf(amax, fabsf(x[n]));
        }
        for (int n = ANN_LANES/2; n > 0; n /= 2) {
            amax = fmaxf(amax, ann_shfl_xor(amax, n));
        }
        const int exponent = __float_as_uint(amax) >> 23;
        const float scale = __uint_as_float((uint32_t) min(max(254 - exponent, 1), 254) << 23); // 1 <= amax*scale < 2
        for (int n = 0; n < D/ANN_LANES; ++n) {
            const half hi = __float2half(x[n]*scale);
            const half lo = __float2half(x[n]*scale - __half2float(hi));
            // columns 2(i % 4) and the next one; dim 32n + lane belongs to part lane/8 of a column
            half * column = (half *) &query[i/4][n][2*(i % 4)*4 + lane/8];
            column[lane % 8] = hi;
            column[lane % 8 + 4*8] = lo;
        }
    }
    store_own_keys(a, s, begin, end, sums);

    const int g = lane/4;
    const int t = lane%4;
    auto load = [&](key_tile<type, D> & tile, int v) {
        const int j = cell_of_launch<CELLS>(a, v);
        tile.load(rows + min(j + g, a.n_kv - 1)*a.nbk1, rows + min(j + g + 8, a.n_kv - 1)*a.nbk1, t);
    };
    key_tile<type, D> keys, next; // few queries: the next tile travels while this one is used
    if (BINS && begin + warp*16 < end) {
        load(next, begin + warp*16);
    }
    for (int v = begin + warp*16; v < end; v += N_TILE) {
        if constexpr (BINS) {
            keys = next;
            if (v + N_TILE < end) {
                load(next, v + N_TILE);
            }
        } else {
            load(keys, v);
        }
        const int j = cell_of_launch<CELLS>(a, v);
        const int j_end = CELLS == cells_of::all ? end : a.n_kv;
        const int j_lo = min(j + g,     a.n_kv - 1);
        const int j_hi = min(j + g + 8, a.n_kv - 1);
        if constexpr (CELLS == cells_of::rest) { // what may be among the best is listed; few are, and the mask is asked for those
            constexpr int N_TOGETHER = 4;
            for (int n0 = 0; n0 < NT; n0 += N_TOGETHER) {
                uint32_t key[2*N_TOGETHER], place[2*N_TOGETHER];
#pragma unroll
                for (int n = 0; n < N_TOGETHER; ++n) {
                    const float2 score = keys.dot(query[n0 + n][0], lane);
                    key[2*n]     = ann_key(score.x);
                    key[2*n + 1] = ann_key(score.y);
                }
#pragma unroll
                for (int n = 0; n < 2*N_TOGETHER; ++n) {
                    const int i = 4*(n0 + n/2) + t;
                    const int cell = j + g + n%2*8;
                    place[n] = N_CAND;
                    if (key[n] >= least[i] && cell < j_end && i < nq && !is_hidden<RANGES>(a, s, t0 + i, range[i], cell)) {
                        place[n] = atomicAdd(a.counters + (int64_t) (row0 + i)*N_COUNTERS + CANDIDATES, 1);
                    }
                }
#pragma unroll
                for (int n = 0; n < 2*N_TOGETHER; ++n) {
                    if (place[n] < N_CAND) {
                        a.cand[(int64_t) (row0 + 4*(n0 + n/2) + t)*N_CAND + place[n]] = ann_pack(key[n], j + g + n%2*8);
                    }
                }
            }
            continue;
        }
        uint32_t hidden = 0; // two bits a tile of queries; read together, before anything is written
#pragma unroll
        for (int n = 0; n < NT; ++n) {
            const int i = min(4*n + t, nq - 1);
            hidden |= (uint32_t) is_hidden<RANGES>(a, s, t0 + i, range[i], j_lo) << 2*n |
                (uint32_t) is_hidden<RANGES>(a, s, t0 + i, range[i], j_hi) << (2*n + 1);
        }
#pragma unroll (NT < 4 ? NT : 4)
        for (int n = 0; n < NT; ++n) {
            const float2 score = keys.dot(query[n][0], lane);
            const int i = 4*n + t;
            // cells of a sample beyond the last one: their places hold nothing
            const int at = CELLS == cells_of::all ? j : v;
            const bool in_lo = j + g < j_end, in_hi = j + g + 8 < j_end;
            if (i < nq && (in_lo || CELLS == cells_of::sample)) {
                emit(a, row0 + i, at + g, !in_lo || (hidden >> 2*n & 1), score.x, BINS ? bins[i] : nullptr);
            }
            if (i < nq && (in_hi || CELLS == cells_of::sample)) {
                emit(a, row0 + i, at + g + 8, !in_hi || (hidden >> (2*n + 1) & 1), score.y, BINS ? bins[i] : nullptr);
            }
        }
    }

    if constexpr (CELLS == cells_of::rest) {
        return;
    }
    __syncthreads();
    take_back_always<BINS, CELLS>(a, row0, s, t0, nq, begin, end, bins);
    if (BINS) {
        __syncthreads();
        for (int i = 0; i < nq; ++i) {
            merge_bins(a, row0 + i, bins[i]);
        }
    }
#else
    GGML_UNUSED(a); // launched only where the matrix units are
#endif
}

} // namespace
