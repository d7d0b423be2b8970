// GGML_ANN_TOPK. Contract in ggml-ann.h.
//
// Two steps, joined by one sortable integer per (query, cell), 0 = never enters:
//   scores   blocks split the cells; a tile of keys meets all queries of the block on the matrix units. Few queries
//            (decode): scores are also counted by their upper 12 bits, in shared memory, then for the whole row.
//   select   finds the bin that the last place falls in, takes what lies above it, and decides inside that bin by digits:
//            in a kernel of its own, or (short lists of few queries) at the beginning of the attention that follows.
// Many queries (prefill) go through in groups, so that their integers never become a [queries x cells] matrix. In long
// contexts most of these are never written: the best keys of a sample of the cells bound those of all, and of the rest only
// what reaches the bound is listed.

#include "ann-fuse.cuh"
#include "ann-topk-scores.cuh"
#include "ann-topk-select.cuh"

namespace {

using scores_kernel = void (*)(const topk_args);

struct scores_choice {
    scores_kernel kernel;
    int           n_queries; // of a block
    scores_kernel sample, rest, select; // null: for few queries, or without matrix units
};

template <ggml_type type, int D, bool RANGES> scores_choice choose_mma(bool few) {
    constexpr int NT = D <= 128 ? 16 : 8;
    if (few) {
        return { scores_mma<type, D, 1, true, RANGES, cells_of::all>, 4, nullptr, nullptr, nullptr };
    }
    return { scores_mma<type, D, NT, false, RANGES, cells_of::all>, 4*NT,
        scores_mma<type, D, NT, false, RANGES, cells_of::sample>, scores_mma<type, D, NT, false, RANGES, cells_of::rest>,
        select_listed<type, 512> };
}

template <ggml_type type, bool RANGES> scores_choice choose_plain(bool few) {
    return { few ? scores_plain<type, true, RANGES> : scores_plain<type, false, RANGES>, 2, nullptr, nullptr, nullptr };
}

bool has_mma(int device) {
    const int cc = ggml_cuda_info().devices[device].cc;
    return GGML_CUDA_CC_IS_NVIDIA(cc) && ampere_mma_available(cc);
}

template <ggml_type type, bool RANGES> scores_choice choose(const ggml_tensor * k, bool mma, bool few) {
    const int64_t align = type == GGML_TYPE_F16 ? 16 : 4; // bytes of one read
    if (mma && k->nb[1] % align == 0 && k->nb[3] % align == 0 && (uintptr_t) k->data % align == 0) {
        switch (k->ne[0]) {
            case  64: return choose_mma<type,  64, RANGES>(few);
            case 128: return choose_mma<type, 128, RANGES>(few);
            case 256: return choose_mma<type, 256, RANGES>(few);
        }
    }
    return choose_plain<type, RANGES>(few);
}

template <bool RANGES> scores_choice choose(const ggml_tensor * k, bool mma, bool few) {
    switch (k->type) {
        case GGML_TYPE_F16:  return choose<GGML_TYPE_F16,  RANGES>(k, mma, few);
        case GGML_TYPE_Q8_0: return choose<GGML_TYPE_Q8_0, RANGES>(k, mma, few);
        default:             return choose_plain<GGML_TYPE_F32, RANGES>(few);
    }
}

static __global__ void __launch_bounds__(N_SCORES) zero_bins(uint32_t * bins) {
    ann_begin();
    bins[blockIdx.x*N_SCORES + threadIdx.x] = 0;
}

int round_up(int64_t x, int64_t n) { return (int) ((x + n - 1)/n*n); }

// One tile in how many is a sample; 0: none, its lists would be too long or the context is short.
int sample_step(const scores_choice & scores, int n_kv, int n_search) {
    if (!scores.sample || n_kv < N_SAMPLED) {
        return 0;
    }
    const int step = std::min(16, N_CAND/4/std::max(n_search, 1)); // a list is expected to hold n_search*step cells
    return step >= 4 ? step : 0;
}

void launch_scores(ggml_backend_cuda_context & ctx, scores_kernel kernel, topk_args & a, int n_queries, int n_cells, int n_s) {
    const int nsm = ggml_cuda_info().devices[ctx.device].nsm;
    const int n_query_blocks = (a.n_t + n_queries - 1)/n_queries;
    const int n_cell_blocks  = std::max(1, 2*nsm/(n_query_blocks*n_s));
    a.n_per_block = std::min(round_up((n_cells + n_cell_blocks - 1)/n_cell_blocks, N_SCORES/2), 1 << 15);
    ann_launch(kernel, dim3((n_cells + a.n_per_block - 1)/a.n_per_block, n_query_blocks, n_s), dim3(N_SCORES), ctx.stream(), a);
}

void select_by_sample(ggml_backend_cuda_context & ctx, topk_args a, const scores_choice & scores, int n_stream) {
    const int n_tiles  = (a.n_kv + N_TILE - 1)/N_TILE;
    const int n_sample = (n_tiles + a.n_step - 1)/a.n_step;
    a.n_stride = n_sample*N_TILE;

    const int64_t fit = N_GROUP_KEYS/a.n_stride/scores.n_queries*scores.n_queries;
    const int n_t = (int) std::min<int64_t>(a.n_tokens, std::max<int64_t>(fit, scores.n_queries));

    ggml_cuda_pool_alloc<uint32_t>           keys (ctx.pool(), (size_t) n_t*a.n_stride);
    ggml_cuda_pool_alloc<unsigned long long> cand (ctx.pool(), (size_t) n_t*N_CAND);
    ggml_cuda_pool_alloc<uint32_t>           least(ctx.pool(), n_t);
    ggml_cuda_pool_alloc<uint32_t>           counters(ctx.pool(), (size_t) n_t*N_COUNTERS);
    a.keys     = keys.get();
    a.cand     = cand.get();
    a.least    = least.get();
    a.counters = counters.get();

    for (a.s0 = 0; a.s0 < n_stream; ++a.s0) {
        for (a.t0 = 0; a.t0 < a.n_tokens; a.t0 += n_t) {
            a.n_t = std::min(n_t, a.n_tokens - a.t0);
            a.n_virtual = n_sample*N_TILE;
            launch_scores(ctx, scores.sample, a, scores.n_queries, a.n_virtual, 1);
            ann_launch(bound_by_sample<512>, dim3(1, a.n_t), dim3(512), ctx.stream(), a);
            a.n_virtual = (n_tiles - n_sample)*N_TILE;
            launch_scores(ctx, scores.rest, a, scores.n_queries, a.n_virtual, 1);
            ann_launch(scores.select, dim3(1, a.n_t), dim3(512), ctx.stream(), a);
        }
    }
}

} // namespace

bool ggml_cuda_ann_topk_supported(const ggml_tensor * op) {
    const ggml_tensor * k = op->src[1];
    const int64_t align = k->type == GGML_TYPE_F32 ? 16 : k->type == GGML_TYPE_F16 ? 8 : 2; // of ann_row
    return (k->type == GGML_TYPE_F32 || k->type == GGML_TYPE_F16 || k->type == GGML_TYPE_Q8_0) &&
        k->ne[0] <= 1024 && k->ne[1] < INT32_MAX - 4096 && op->ne[0] <= N_BEST && op->ne[3] < 65536 &&
        k->nb[1] % align == 0 && k->nb[3] % align == 0 && ggml_is_contiguous(op);
}

bool ann_topk_is_few(const ggml_tensor * op) { return op->ne[1]*op->ne[3] <= N_FEW; }

namespace {

topk_args args_of(const ggml_tensor * dst) {
    const ggml_tensor * q      = dst->src[0];
    const ggml_tensor * k      = dst->src[1];
    const ggml_tensor * mask   = dst->src[2];
    const ggml_tensor * always = dst->src[3];

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
    a.mask_is  = mask->type == GGML_TYPE_F32 ? mask_kind::f32 : mask->type == GGML_TYPE_F16 ? mask_kind::f16 : mask_kind::ranges;
    a.d        = (int) k->ne[0];
    a.n_kv     = (int) k->ne[1];
    a.n_tokens = (int) q->ne[1];
    a.n_top_k  = (int) dst->ne[0];
    a.n_always = always ? (int) always->ne[0] : 0;
    a.n_stride = round_up(a.n_kv, 4);
    return a;
}

scores_choice choose(ggml_backend_cuda_context & ctx, const ggml_tensor * dst, const topk_args & a, bool few) {
    const bool mma = has_mma(ctx.device);
    return a.mask_is == mask_kind::ranges ? choose<true>(dst->src[1], mma, few) : choose<false>(dst->src[1], mma, few);
}

void select_of_many(ggml_backend_cuda_context & ctx, const ggml_tensor * dst) {
    topk_args a = args_of(dst);
    const int n_stream = (int) dst->ne[3];
    const scores_choice scores = choose(ctx, dst, a, false);
    a.n_step = sample_step(scores, a.n_kv, a.n_top_k - a.n_always);
    if (a.n_step > 0) {
        select_by_sample(ctx, a, scores, n_stream);
        return;
    }

    // rows of a group: at least one block's queries
    const int64_t fit = N_GROUP_KEYS/a.n_stride/scores.n_queries*scores.n_queries;
    const int n_t = (int) std::min<int64_t>(a.n_tokens, std::max<int64_t>(fit, scores.n_queries));

    ggml_cuda_pool_alloc<uint32_t>           keys(ctx.pool(), n_t*a.n_stride);
    ggml_cuda_pool_alloc<int32_t>            sure(ctx.pool(), (size_t) n_t*a.n_top_k);
    ggml_cuda_pool_alloc<unsigned long long> cand(ctx.pool(), (size_t) n_t*N_CAND);
    ggml_cuda_pool_alloc<uint32_t>           counters(ctx.pool(), (size_t) n_t*N_COUNTERS);
    a.keys     = keys.get();
    a.sure     = sure.get();
    a.cand     = cand.get();
    a.counters = counters.get();

    for (a.s0 = 0; a.s0 < n_stream; ++a.s0) {
        for (a.t0 = 0; a.t0 < a.n_tokens; a.t0 += n_t) {
            constexpr int N = 1024;
            a.n_t = std::min(n_t, a.n_tokens - a.t0);
            launch_scores(ctx, scores.kernel, a, scores.n_queries, a.n_kv, 1);
            ann_launch(select_best<false, true, N>, dim3(1, a.n_t), dim3(N), ctx.stream(), a);
        }
    }
}

} // namespace

void ggml_cuda_ann_topk(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    if (ann_topk_is_few(dst)) {
        ann_search search(ctx, dst, nullptr, true);
    } else {
        select_of_many(ctx, dst);
    }
}

ann_search::ann_search(ggml_backend_cuda_context & ctx, const ggml_tensor * dst, ann_projected * projected, bool finish) :
    a(args_of(dst)),
    rows((size_t) dst->ne[1]*dst->ne[3]),
    keys(ctx.pool(), rows*a.n_stride),
    bins(ctx.pool(), rows*N_BINS),
    sure(ctx.pool(), rows*a.n_top_k),
    cand(ctx.pool(), rows*N_CAND),
    counters(ctx.pool(), rows*N_COUNTERS),
    vectors(ctx.pool(), projected ? 2*rows*a.d : 1) {
    GGML_ASSERT(ann_topk_is_few(dst));
    a.keys     = keys.get();
    a.bins     = bins.get();
    a.sure     = sure.get();
    a.cand     = cand.get();
    a.counters = counters.get();
    a.n_t      = a.n_tokens;
    if (projected) {
        project_args<2> & p = projected->project;
        p.part[0].dst = vectors.get();
        p.part[1].dst = vectors.get() + rows*a.d;
        p.zero   = a.bins;
        p.n_zero = (int) rows*N_BINS;
        ann_project(ctx, projected->type, p, 2);
        a.q    = (const char *) vectors.get();
        a.nbq1 = a.d*sizeof(float);
        a.nbq3 = a.n_tokens*a.nbq1;
        a.store = projected->store;
        a.store.raw = p.part[1].dst;
    } else {
        ann_launch(zero_bins, dim3(rows*N_BINS/N_SCORES), dim3(N_SCORES), ctx.stream(), a.bins); // overlaps, a memset would not
    }

    const scores_choice scores = choose(ctx, dst, a, true);
    launch_scores(ctx, scores.kernel, a, scores.n_queries, a.n_kv, (int) dst->ne[3]);

    constexpr int N = 512; // a part is 4 keys a thread where there are multiprocessors for that
    const int nsm     = ggml_cuda_info().devices[ctx.device].nsm;
    const int n_parts = std::max(1, std::min(a.n_kv/(4*N), nsm/(int) rows));
    ann_launch(finish ? select_best<true, true, N> : select_best<true, false, N>, dim3(n_parts, rows), dim3(N), ctx.stream(), a);
}
