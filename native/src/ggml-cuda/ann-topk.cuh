// What the kernels of GGML_ANN_TOPK share: sizes, and the arguments of a launch.
#pragma once

#include "ann-fuse.cuh"

enum class mask_kind { f16, f32, ranges };

struct topk_args {
    const char * q;
    const char * k;
    const char * mask;
    const char * always; // may be null
    int32_t    * dst;
    store_args   store;  // keys of the batch that the scores kernel stores first; none: raw is null

    int64_t   nbq1, nbq3, nbk1, nbk3, nbm1, nbm3, nba1, nba3;
    mask_kind mask_is;
    int     d, n_kv, n_tokens, n_top_k, n_always;

    // rows of one launch: tokens [t0, t0 + n_t) of streams s0 ...; its row r is token t0 + r % n_t of stream s0 + r/n_t
    int s0, t0, n_t;
    int n_per_block; // cells

    int64_t              n_stride; // cells of a row of keys
    uint32_t           * keys;     // [rows][n_stride]
    uint32_t           * bins;     // [rows][N_BINS], zeroed; null for many rows
    int32_t            * sure;     // [rows][n_top_k]: cells above the last bin; from n_top_k - n_always on, the always-attended ones
    unsigned long long * cand;     // [rows][N_CAND]
    uint32_t           * counters; // [rows][N_COUNTERS]

    // many queries, long contexts: every n_step-th tile of cells is a sample, which bounds what has to be listed of the rest
    int                n_step;
    int                n_virtual; // cells of a sample or of the rest, whole tiles
    uint32_t         * least;     // [rows]: keys below it are not among the best
};

namespace {

constexpr int N_BINS    = 4096; // upper 12 bits: sign, exponent, 3 bits of the mantissa
constexpr int BIN_SHIFT = 20;
constexpr int N_SCORES  = 256;  // threads of the scores kernels
constexpr int N_BEST    = 4096; // most cells of one query
constexpr int N_TILE    = N_SCORES/32*16; // cells that a block of the scores kernel takes at once, with matrix units
constexpr int N_RANKED  = 1024; // candidates that are ranked by comparing all with all; more go digit by digit
constexpr int N_FEW     = 16;   // rows up to which the scores kernel counts bins
constexpr int N_LIST    = 512;  // most cells that attention finds itself, in every block: more are sorted once
#if defined(ANN_EMULATED) // small enough for tests to have several groups, full lists, samples
constexpr int64_t N_GROUP_KEYS = 1 << 15;
constexpr int     N_CAND       = 1280;
constexpr int     N_SAMPLED    = 512;
#else
constexpr int     N_CAND       = 8192;  // cells listed of a row; the rest is read from the row, or the row computed otherwise
constexpr int     N_SAMPLED    = 16384; // cells from which on a sample is worth it
constexpr int64_t N_GROUP_KEYS = 16 << 20; // 64 MiB: at 131072 cells a block of select_best for nearly every multiprocessor
#endif

// of a row's counters: entries of sure and of cand, finished blocks, the bin of the last place
enum { SURE, CANDIDATES, FINISHED, LAST_BIN, N_COUNTERS };

} // namespace

// A search of few queries, enqueued when it is made; what it has of the context's pool it holds until it is destroyed.
class ann_search {
public:
    // projected: null, the queries are there. finish: the list of cells is wanted; else `found` is for ann_attn, which makes it.
    ann_search(ggml_backend_cuda_context & ctx, const ggml_tensor * topk, ann_projected * projected, bool finish);

    const topk_args & found() const { return a; }

private:
    topk_args a;
    size_t    rows;

    ggml_cuda_pool_alloc<uint32_t>           keys, bins;
    ggml_cuda_pool_alloc<int32_t>            sure;
    ggml_cuda_pool_alloc<unsigned long long> cand;
    ggml_cuda_pool_alloc<uint32_t>           counters;
    ggml_cuda_pool_alloc<float>              vectors; // queries, then keys
};
