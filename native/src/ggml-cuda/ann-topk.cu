// GGML_ANN_TOPK. Contract in ggml-ann.h.
//
// Two kernels, joined by one sortable integer per (query, cell), 0 = never enters:
//   scores   blocks split the cells; a tile of keys meets all queries of the block on the matrix units. Few queries
//            (decode): scores are also counted by their upper 12 bits, in shared memory, then for the whole row.
//   select   finds the bin that the last place falls in, takes what lies above it, and decides inside that bin by digits.
// Many queries (prefill) go through in groups, so that their integers never become a [queries x cells] matrix.

#include "ann-cuda.cuh"
#include "ann-device.cuh"

namespace {

constexpr int N_BINS    = 4096; // upper 12 bits: sign, exponent, 3 bits of the mantissa
constexpr int BIN_SHIFT = 20;
constexpr int N_SCORES  = 256;  // threads of the scores kernels
constexpr int N_BEST    = 4096; // most cells of one query
constexpr int N_CAND    = 8192; // cells listed of the bin that the last place falls in; beyond: read from the row
constexpr int N_RANKED  = 1024; // candidates that are ranked by comparing all with all; more go digit by digit
constexpr int N_FEW     = 16;   // rows up to which the scores kernel counts bins
#if defined(ANN_EMULATED)
constexpr int64_t N_GROUP_KEYS = 1 << 15; // small enough for tests to have several groups
#else
constexpr int64_t N_GROUP_KEYS = 16 << 20; // 64 MiB: at 131072 cells a block of select_best for nearly every multiprocessor
#endif

struct topk_args {
    const char * q;
    const char * k;
    const char * mask;
    const char * always; // may be null
    int32_t    * dst;

    int64_t nbq1, nbq3, nbk1, nbk3, nbm1, nbm3, nba1, nba3;
    bool    mask_f32;
    int     d, n_kv, n_tokens, n_top_k, n_always;

    // rows of one launch: tokens [t0, t0 + n_t) of streams s0 ...; its row r is token t0 + r % n_t of stream s0 + r/n_t
    int s0, t0, n_t;
    int n_per_block; // cells

    int64_t              n_stride; // cells of a row of keys
    uint32_t           * keys;     // [rows][n_stride]
    uint32_t           * bins;     // [rows][N_BINS], zeroed; null for many rows
    int32_t            * sure;     // [rows][n_top_k]
    unsigned long long * cand;     // [rows][N_CAND]
    uint32_t           * counters; // [rows][3]: sure, candidates, finished blocks
};

// ---------------------------------------------------------------------------------------------------------------------
// scores

static __device__ __forceinline__ bool is_hidden(const topk_args & a, int s, int t, int j) {
    return ann_is_hidden(a.mask + t*a.nbm1 + s*a.nbm3, a.mask_f32, j);
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

// The always-attended cells do not compete: what a block has emitted of them is taken back. All threads, after a barrier.
template <bool BINS>
static __device__ void take_back_always(const topk_args & a, int row0, int s, int t0, int nq, int begin, int end, uint32_t (*bins)[BINS ? N_BINS/2 : 1]) {
    for (int n = threadIdx.x; n < nq*a.n_always; n += N_SCORES) {
        const int i = n/a.n_always;
        const int j = ((const int32_t *) (a.always + (t0 + i)*a.nba1 + s*a.nba3))[n % a.n_always];
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

static __device__ void begin_block(const topk_args & a, int row0, int n_rows, uint32_t * bins, int n_bins) {
    if (blockIdx.x == 0) { // of the select kernel that follows
        for (int i = threadIdx.x; i < 3*n_rows; i += N_SCORES) {
            a.counters[3*row0 + i] = 0;
        }
    }
    for (int i = threadIdx.x; i < n_bins; i += N_SCORES) {
        bins[i] = 0;
    }
}

// Any type and size, any hardware: 32 lanes share a key.
template <ggml_type type, bool BINS>
static __global__ void __launch_bounds__(N_SCORES) scores_plain(const topk_args a) {
    constexpr int NQ = 2;
    __shared__ float    query[NQ][1024];
    __shared__ uint32_t bins[NQ][BINS ? N_BINS/2 : 1];

    const int s    = a.s0 + blockIdx.z;
    const int t0   = a.t0 + blockIdx.y*NQ;
    const int nq   = min(NQ, a.t0 + a.n_t - t0);
    const int row0 = blockIdx.z*a.n_t + blockIdx.y*NQ;
    const int lane = threadIdx.x % ANN_LANES;

    begin_block(a, row0, nq, bins[0], BINS ? nq*N_BINS/2 : 0);
    for (int i = 0; i < NQ; ++i) {
        for (int e = threadIdx.x; e < a.d; e += N_SCORES) {
            query[i][e] = ((const float *) (a.q + (t0 + min(i, nq - 1))*a.nbq1 + s*a.nbq3))[e];
        }
    }
    __syncthreads();

    const int begin = blockIdx.x*a.n_per_block;
    const int end   = min(a.n_kv, begin + a.n_per_block);
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
                emit(a, row0 + i, j, is_hidden(a, s, t0 + i, j), sum[i], BINS ? bins[i] : nullptr);
            }
        }
    }

    __syncthreads();
    take_back_always<BINS>(a, row0, s, t0, nq, begin, end, bins);
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

// NT: tiles of 4 queries. A query takes two columns of the right operand, its f16 rounding and the rest that rounding lost,
// so that scores keep the precision of f32 queries; it is scaled by a power of two first (its scale is free).
template <ggml_type type, int D, int NT, bool BINS>
static __global__ void __launch_bounds__(N_SCORES) scores_mma(const topk_args a) {
#if defined(ANN_MMA_AVAILABLE)
    constexpr int NQ = 4*NT;
    static_assert(NT <= 16, "two bits of hidden a tile");
    __shared__ uint4    query[NT][D/32][ANN_LANES];
    __shared__ uint32_t bins[NQ][BINS ? N_BINS/2 : 1];

    const int s    = a.s0 + blockIdx.z;
    const int t0   = a.t0 + blockIdx.y*NQ;
    const int nq   = min(NQ, a.t0 + a.n_t - t0);
    const int row0 = blockIdx.z*a.n_t + blockIdx.y*NQ;
    const int lane = threadIdx.x % ANN_LANES;
    const int warp = threadIdx.x / ANN_LANES;

    begin_block(a, row0, nq, bins[0], BINS ? nq*N_BINS/2 : 0);
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
    __syncthreads();

    const int g = lane/4;
    const int t = lane%4;
    const int begin = blockIdx.x*a.n_per_block;
    const int end   = min(a.n_kv, begin + a.n_per_block);
    for (int j = begin + warp*16; j < end; j += N_SCORES/ANN_LANES*16) {
        const char * rows = a.k + s*a.nbk3;
        const int j_lo = min(j + g,     a.n_kv - 1);
        const int j_hi = min(j + g + 8, a.n_kv - 1);
        key_tile<type, D> keys;
        keys.load(rows + j_lo*a.nbk1, rows + j_hi*a.nbk1, t);
        uint32_t hidden = 0; // two bits a tile of queries; read together, before anything is written
#pragma unroll
        for (int n = 0; n < NT; ++n) {
            const int i = min(4*n + t, nq - 1);
            hidden |= (uint32_t) is_hidden(a, s, t0 + i, j_lo) << 2*n | (uint32_t) is_hidden(a, s, t0 + i, j_hi) << (2*n + 1);
        }
#pragma unroll (NT < 4 ? NT : 4)
        for (int n = 0; n < NT; ++n) {
            const float2 score = keys.dot(query[n][0], lane);
            const int i = 4*n + t;
            if (i < nq && j + g < end) {
                emit(a, row0 + i, j_lo, hidden >> 2*n & 1, score.x, BINS ? bins[i] : nullptr);
            }
            if (i < nq && j + g + 8 < end) {
                emit(a, row0 + i, j_hi, hidden >> (2*n + 1) & 1, score.y, BINS ? bins[i] : nullptr);
            }
        }
    }

    __syncthreads();
    take_back_always<BINS>(a, row0, s, t0, nq, begin, end, bins);
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

// ---------------------------------------------------------------------------------------------------------------------
// select

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

// ---------------------------------------------------------------------------------------------------------------------
// launches

using scores_kernel = void (*)(const topk_args);

struct scores_choice {
    scores_kernel kernel;
    int           n_queries; // of a block
};

template <ggml_type type, int D> scores_choice choose_mma(bool few) {
    constexpr int NT = D <= 128 ? 16 : 8;
    return few ? scores_choice { scores_mma<type, D, 1, true>, 4 } : scores_choice { scores_mma<type, D, NT, false>, 4*NT };
}

template <ggml_type type> scores_choice choose_plain(bool few) {
    return { few ? scores_plain<type, true> : scores_plain<type, false>, 2 };
}

bool has_mma(int device) {
    const int cc = ggml_cuda_info().devices[device].cc;
    return GGML_CUDA_CC_IS_NVIDIA(cc) && ampere_mma_available(cc);
}

template <ggml_type type> scores_choice choose(const ggml_tensor * k, bool mma, bool few) {
    const int64_t align = type == GGML_TYPE_F16 ? 16 : 4; // bytes of one read
    if (mma && k->nb[1] % align == 0 && k->nb[3] % align == 0 && (uintptr_t) k->data % align == 0) {
        switch (k->ne[0]) {
            case  64: return choose_mma<type,  64>(few);
            case 128: return choose_mma<type, 128>(few);
            case 256: return choose_mma<type, 256>(few);
        }
    }
    return choose_plain<type>(few);
}

scores_choice choose(const ggml_tensor * k, bool mma, bool few) {
    switch (k->type) {
        case GGML_TYPE_F16:  return choose<GGML_TYPE_F16> (k, mma, few);
        case GGML_TYPE_Q8_0: return choose<GGML_TYPE_Q8_0>(k, mma, few);
        default:             return choose_plain<GGML_TYPE_F32>(few);
    }
}

int round_up(int64_t x, int64_t n) { return (int) ((x + n - 1)/n*n); }

} // namespace

bool ggml_cuda_ann_topk_supported(const ggml_tensor * op) {
    const ggml_tensor * k = op->src[1];
    const int64_t align = k->type == GGML_TYPE_F32 ? 16 : k->type == GGML_TYPE_F16 ? 8 : 2; // of ann_row
    return (k->type == GGML_TYPE_F32 || k->type == GGML_TYPE_F16 || k->type == GGML_TYPE_Q8_0) &&
        k->ne[0] <= 1024 && k->ne[1] < INT32_MAX - 4096 && op->ne[0] <= N_BEST && op->ne[3] < 65536 &&
        k->nb[1] % align == 0 && k->nb[3] % align == 0 && ggml_is_contiguous(op);
}

void ggml_cuda_ann_topk(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    const ggml_tensor * q      = dst->src[0];
    const ggml_tensor * k      = dst->src[1];
    const ggml_tensor * mask   = dst->src[2];
    const ggml_tensor * always = dst->src[3];

    const int n_tokens = (int) q->ne[1];
    const int n_stream = (int) q->ne[3];
    const int nsm      = ggml_cuda_info().devices[ctx.device].nsm;

    topk_args a = {};
    a.q        = (const char *) q->data;
    a.k        = (const char *) k->data;
    a.mask     = (const char *) mask->data;
    a.always   = always ? (const char *) always->data : nullptr;
    a.dst      = (int32_t *) dst->data;
    a.nbq1     = q->nb[1];
    a.nbq3     = q->nb[3];
    a.nbk1     = k->nb[1];
    a.nbk3     = k->nb[3];
    a.nbm1     = mask->nb[1];
    a.nbm3     = mask->nb[3];
    a.nba1     = always ? always->nb[1] : 0;
    a.nba3     = always ? always->nb[3] : 0;
    a.mask_f32 = mask->type == GGML_TYPE_F32;
    a.d        = (int) k->ne[0];
    a.n_kv     = (int) k->ne[1];
    a.n_tokens = n_tokens;
    a.n_top_k  = (int) dst->ne[0];
    a.n_always = always ? (int) always->ne[0] : 0;
    a.n_stride = round_up(a.n_kv, 4);

    const bool few = n_tokens*n_stream <= N_FEW;
    const scores_choice scores = choose(k, has_mma(ctx.device), few);

    // rows of a group: at least one block's queries
    const int64_t fit = N_GROUP_KEYS/a.n_stride/scores.n_queries*scores.n_queries;
    const int n_t  = few ? n_tokens : (int) std::min<int64_t>(n_tokens, std::max<int64_t>(fit, scores.n_queries));
    const int n_s  = few ? n_stream : 1;
    const int rows = n_t*n_s;

    ggml_cuda_pool_alloc<uint32_t>           keys(ctx.pool(), rows*a.n_stride);
    ggml_cuda_pool_alloc<uint32_t>           bins(ctx.pool(), few ? (size_t) rows*N_BINS : 1);
    ggml_cuda_pool_alloc<int32_t>            sure(ctx.pool(), (size_t) rows*a.n_top_k);
    ggml_cuda_pool_alloc<unsigned long long> cand(ctx.pool(), (size_t) rows*N_CAND);
    ggml_cuda_pool_alloc<uint32_t>           counters(ctx.pool(), (size_t) rows*3);
    a.keys     = keys.get();
    a.sure     = sure.get();
    a.cand     = cand.get();
    a.counters = counters.get();
    if (few) {
        a.bins = bins.get();
        CUDA_CHECK(cudaMemsetAsync(a.bins, 0, (size_t) rows*N_BINS*sizeof(uint32_t), ctx.stream()));
    }

    for (int s = 0; s < n_stream; s += n_s) {
        for (int t = 0; t < n_tokens; t += n_t) {
            a.s0  = s;
            a.t0  = t;
            a.n_t = std::min(n_t, n_tokens - t);

            const int n_query_blocks = (a.n_t + scores.n_queries - 1)/scores.n_queries;
            const int n_cell_blocks  = std::max(1, 2*nsm/(n_query_blocks*n_s));
            a.n_per_block = std::min(round_up((a.n_kv + n_cell_blocks - 1)/n_cell_blocks, N_SCORES/2), 1 << 15);
            ann_launch(scores.kernel, dim3((a.n_kv + a.n_per_block - 1)/a.n_per_block, n_query_blocks, n_s), dim3(N_SCORES),
                ctx.stream(), a);

            const int n_rows  = a.n_t*n_s;
            if (few) {
                constexpr int N = 512; // a part is 4 keys a thread where there are multiprocessors for that
                const int n_parts = std::max(1, std::min(a.n_kv/(4*N), nsm/n_rows));
                ann_launch(select_best<true, N>, dim3(n_parts, n_rows), dim3(N), ctx.stream(), a);
            } else {
                constexpr int N = 1024;
                ann_launch(select_best<false, N>, dim3(1, n_rows), dim3(N), ctx.stream(), a);
            }
        }
    }
}
