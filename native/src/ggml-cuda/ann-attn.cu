// GGML_ANN_ATTN. Contract in ggml-ann.h.
//
// A block takes one K/V head of one token with up to 8 of its query heads, so that a row of K or V is read once for all
// of them, and goes through its cells in chunks: logits, running softmax, weighted sum. Long lists are split over blocks,
// whose running softmaxes a second kernel merges. Without candidates the cells are all of the cache and the mask decides.
// A search of few queries that comes just before leaves its last step to this: every block finds the list for itself.

#include "ann-topk-finish.cuh"

#include "ggml-ann.h"

namespace {

constexpr int N_WARPS   = 16; // of 32 lanes
constexpr int N_THREADS = N_WARPS*ANN_LANES;
constexpr int N_BATCH   = 8;  // rows that 32 lanes have in flight
constexpr int N_CHUNK   = N_WARPS*N_BATCH; // cells of a softmax step
constexpr int N_LANE    = 4;  // neighbouring elements of a row that a lane holds
constexpr int N_ROW     = ANN_LANES*N_LANE; // elements that 32 lanes hold at once

struct attn_args {
    const char * q;
    const char * k;
    const char * v;
    const char * cells; // null: all n_kv
    const char * mask;  // read only when cells is null
    const float * sinks; // may be null
    float       * dst;
    float       * partial; // [rows][n_head][n_split][2 + dv]: maximum, sum, sum of weighted rows; null for one split

    int64_t nbq1, nbq2, nbq3, nbk1, nbk2, nbk3, nbv1, nbv2, nbv3, nbc1, nbc3, nbm1, nbm3;
    bool    mask_f32;
    int     v_bytes;     // of a row of V
    int     dk, dv, n_tokens, n_head, n_group, n_head_blocks;
    int     n_cells;     // of a list
    int     n_per_split; // of these, in one block
    float   scale, softcap;
};

static __device__ __forceinline__ float logit_of(const attn_args & a, float x) {
    x *= a.scale;
    // 1 - 2/(e^2y + 1) is tanh(y) to f32's precision of its range; the fast intrinsic is not
    return a.softcap > 0.0f ? a.softcap*(1.0f - 2.0f/(expf(2.0f*x/a.softcap) + 1.0f)) : x;
}

// Sums v[h] of 32 lanes for every h < NH at once, NH - 1 + log2(32/NH) exchanges. Returns the sum of head_of_lane.
template <int NH> static __device__ __forceinline__ float sum_heads(float (&v)[NH], int lane) {
    int bit = 1;
#pragma unroll
    for (int half = NH/2; half > 0; half /= 2) {
#pragma unroll
        for (int j = 0; j < half; ++j) {
            const bool  upper = lane & bit;
            const float other = ann_shfl_xor(upper ? v[j] : v[j + half], bit);
            v[j] = (upper ? v[j + half] : v[j]) + other;
        }
        bit *= 2;
    }
#pragma unroll
    for (int n = NH; n < ANN_LANES; n *= 2) {
        v[0] += ann_shfl_xor(v[0], n);
    }
    return v[0];
}

template <int NH> static __device__ __forceinline__ int head_of_lane(int lane) {
    int head = 0;
    for (int half = NH/2, bit = 1; half > 0; half /= 2, bit *= 2) {
        head += lane & bit ? half : 0;
    }
    return head;
}

// NH: query heads of a block (a power of two; fewer may be real). NE: elements of a row a lane holds, in units of 4.
// FIND: the list of cells is still to be made of what a search has collected.
template <ggml_type type, int NH, int NE, bool FIND>
static __global__ void __launch_bounds__(N_THREADS) attend(const attn_args a, const topk_args found) {
    constexpr int NH_ROUND = NH*NE < 4 ? NH : 4/NE; // heads whose outputs of all warps fit the shared memory together
    __shared__ float weight[N_CHUNK][NH]; // logits, then weights
    __shared__ float top[NH], total[NH], keep[NH];
    __shared__ union {
        float          out[N_WARPS][NH_ROUND][NE*N_ROW];
        finish_scratch scratch;
    } shared;
    __shared__ finish_memory<N_THREADS, FIND ? N_LIST : 4> finish;
    __shared__ int32_t list[FIND ? N_LIST : 1];

    const int lane = threadIdx.x % ANN_LANES;
    const int warp = threadIdx.x / ANN_LANES;
    const int t    = blockIdx.y % a.n_tokens;
    const int s    = blockIdx.y / a.n_tokens;
    const int h_kv = blockIdx.x / a.n_head_blocks;
    const int h0   = h_kv*a.n_group + blockIdx.x % a.n_head_blocks*NH;
    const int nh   = min(NH, (h_kv + 1)*a.n_group - h0);

    const char * k = a.k + h_kv*a.nbk2 + s*a.nbk3;
    const char * v = a.v + h_kv*a.nbv2 + s*a.nbv3;
    const int32_t * cells = FIND ? list : a.cells ? (const int32_t *) (a.cells + t*a.nbc1 + s*a.nbc3) : nullptr;
    const char * mask = FIND || a.cells ? nullptr : a.mask + t*a.nbm1 + s*a.nbm3;
    const int begin = blockIdx.z*a.n_per_split;
    const int end   = min(a.n_cells, begin + a.n_per_split);

    ann_begin();

    float q[NH][NE][N_LANE];
    float acc[NH][NE][N_LANE] = {};
#pragma unroll
    for (int h = 0; h < NH; ++h) {
        const float * head = (const float *) (a.q + t*a.nbq1 + (h0 + min(h, nh - 1))*a.nbq2 + s*a.nbq3);
#pragma unroll
        for (int n = 0; n < NE; ++n) {
#pragma unroll
            for (int i = 0; i < N_LANE; ++i) {
                const int e = n*N_ROW + lane*N_LANE + i;
                q[h][n][i] = e < a.dk ? head[e] : 0.0f;
            }
        }
    }
    if (threadIdx.x < NH) {
        top[threadIdx.x]   = -INFINITY;
        total[threadIdx.x] = 0.0f;
    }

    if constexpr (FIND) {
        ann_finish<true>(found, blockIdx.y, finish, shared.scratch, list);
        __syncthreads();
        if (blockIdx.x == 0 && blockIdx.z == 0) { // the search's result
            for (int i = threadIdx.x; i < a.n_cells; i += N_THREADS) {
                found.dst[(int64_t) blockIdx.y*a.n_cells + i] = list[i];
            }
        }
    } else {
        GGML_UNUSED(found);
    }

    for (int c0 = begin; c0 < end; c0 += N_CHUNK) {
        // phase 1: logits; 32 lanes take N_BATCH cells
        const int mine = warp*N_BATCH;
        int cell[N_BATCH];
#pragma unroll
        for (int i = 0; i < N_BATCH; ++i) {
            const int j = c0 + mine + i;
            cell[i] = j < end ? (cells ? cells[j] : j) : -1;
            if (!cells && cell[i] >= 0 && ann_is_hidden(mask, a.mask_f32, cell[i])) {
                cell[i] = -1;
            }
        }
        float4 x[N_BATCH][NE];
#pragma unroll
        for (int i = 0; i < N_BATCH; ++i) {
#pragma unroll
            for (int n = 0; n < NE; ++n) {
                const int e = n*N_ROW + lane*N_LANE;
                x[i][n] = cell[i] >= 0 && e < a.dk ? ann_row<type>::load4(k + cell[i]*a.nbk1, e) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            }
        }
#pragma unroll
        for (int i = 0; i < N_BATCH; ++i) {
            if (cell[i] >= 0 && lane*32 < a.v_bytes) {
                ann_prefetch(v + cell[i]*a.nbv1 + lane*32);
            }
        }
#pragma unroll
        for (int i = 0; i < N_BATCH; ++i) {
            float dot[NH];
#pragma unroll
            for (int h = 0; h < NH; ++h) {
                dot[h] = 0.0f;
#pragma unroll
                for (int n = 0; n < NE; ++n) {
                    dot[h] += x[i][n].x*q[h][n][0] + x[i][n].y*q[h][n][1] + x[i][n].z*q[h][n][2] + x[i][n].w*q[h][n][3];
                }
            }
            const float sum = sum_heads<NH>(dot, lane);
            if (lane < NH) {
                weight[mine + i][head_of_lane<NH>(lane)] = cell[i] >= 0 ? logit_of(a, sum) : -INFINITY;
            }
        }
        // rows of V of the same cells, on their way during phase 2
#pragma unroll
        for (int i = 0; i < N_BATCH; ++i) {
#pragma unroll
            for (int n = 0; n < NE; ++n) {
                const int e = n*N_ROW + lane*N_LANE;
                x[i][n] = cell[i] >= 0 && e < a.dv ? ann_row<type>::load4(v + cell[i]*a.nbv1, e) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            }
        }
        __syncthreads();

        // phase 2: running softmax; 32 lanes take a head
        for (int h = warp; h < NH; h += N_WARPS) {
            float most = top[h];
            for (int i = lane; i < N_CHUNK; i += ANN_LANES) {
                most = fmaxf(most, weight[i][h]);
            }
            for (int n = ANN_LANES/2; n > 0; n /= 2) {
                most = fmaxf(most, ann_shfl_xor(most, n));
            }
            float sum = 0.0f;
            for (int i = lane; i < N_CHUNK; i += ANN_LANES) {
                const float w = weight[i][h] == -INFINITY ? 0.0f : expf(weight[i][h] - most);
                weight[i][h] = w;
                sum += w;
            }
            for (int n = ANN_LANES/2; n > 0; n /= 2) {
                sum += ann_shfl_xor(sum, n);
            }
            if (lane == 0) {
                keep[h]  = top[h] == -INFINITY ? 0.0f : expf(top[h] - most);
                total[h] = total[h]*keep[h] + sum;
                top[h]   = most;
            }
        }
        __syncthreads();

        // phase 3: weighted rows of V
#pragma unroll
        for (int h = 0; h < NH; ++h) {
            const float kept = keep[h];
#pragma unroll
            for (int n = 0; n < NE; ++n) {
#pragma unroll
                for (int i = 0; i < N_LANE; ++i) {
                    acc[h][n][i] *= kept;
                }
#pragma unroll
                for (int i = 0; i < N_BATCH; ++i) {
                    const float w = weight[mine + i][h];
                    acc[h][n][0] += w*x[i][n].x;
                    acc[h][n][1] += w*x[i][n].y;
                    acc[h][n][2] += w*x[i][n].z;
                    acc[h][n][3] += w*x[i][n].w;
                }
            }
        }
        __syncthreads();
    }

    // phase 4: sums over the warps, then the result or this split's part of it
    for (int first = 0; first < nh; first += NH_ROUND) {
#pragma unroll
        for (int h = 0; h < NH; ++h) {
            if (h >= first && h < first + NH_ROUND) {
#pragma unroll
                for (int n = 0; n < NE; ++n) {
#pragma unroll
                    for (int i = 0; i < N_LANE; ++i) {
                        shared.out[warp][h - first][n*N_ROW + lane*N_LANE + i] = acc[h][n][i];
                    }
                }
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < NH_ROUND*a.dv; i += N_THREADS) {
            const int h = i / a.dv;
            const int e = i % a.dv;
            if (first + h >= nh) {
                break;
            }
            float sum = 0.0f;
            for (int w = 0; w < N_WARPS; ++w) {
                sum += shared.out[w][h][e];
            }
            const int64_t head = (int64_t) blockIdx.y*a.n_head + h0 + first + h;
            const float most = top[first + h];
            if (a.partial) {
                float * part = a.partial + (head*gridDim.z + blockIdx.z)*(2 + a.dv);
                part[2 + e] = sum;
                if (e == 0) {
                    part[0] = most;
                    part[1] = total[first + h];
                }
            } else {
                const float sink = a.sinks ? a.sinks[h0 + first + h] : -INFINITY;
                const float max  = fmaxf(most, sink);
                const float all  = (most == -INFINITY ? 0.0f : total[first + h]*expf(most - max)) + (sink == -INFINITY ? 0.0f : expf(sink - max));
                a.dst[head*a.dv + e] = most == -INFINITY ? 0.0f : sum*expf(most - max)/all;
            }
        }
        __syncthreads();
    }
}

// grid: (n_head, rows)
static __global__ void __launch_bounds__(256) merge_splits(const attn_args a, int n_split) {
    const int64_t head = (int64_t) blockIdx.y*a.n_head + blockIdx.x;
    const float * parts = a.partial + head*n_split*(2 + a.dv);
    const float   sink  = a.sinks ? a.sinks[blockIdx.x] : -INFINITY;

    ann_begin();

    float max = sink;
    for (int i = 0; i < n_split; ++i) {
        max = fmaxf(max, parts[i*(2 + a.dv)]);
    }
    for (int e = threadIdx.x; e < a.dv; e += blockDim.x) {
        float all = sink == -INFINITY ? 0.0f : expf(sink - max);
        float sum = 0.0f;
        for (int i = 0; i < n_split; ++i) {
            const float * part = parts + i*(2 + a.dv);
            const float w = part[0] == -INFINITY ? 0.0f : expf(part[0] - max);
            all += w*part[1];
            sum += w*part[2 + e];
        }
        a.dst[head*a.dv + e] = all > 0.0f ? sum/all : 0.0f;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// launches

using attend_kernel = void (*)(const attn_args, const topk_args);

struct attend_choice {
    attend_kernel kernel;
    int           n_heads; // of a block
};

template <ggml_type type, int NE, bool FIND> attend_choice choose(int n_group) {
    if (n_group == 1) {
        return { attend<type, 1, NE, FIND>, 1 };
    }
    if (n_group == 2) {
        return { attend<type, 2, NE, FIND>, 2 };
    }
    if (n_group <= 4 || NE > 1) {
        return { attend<type, 4, NE, FIND>, 4 };
    }
    return { attend<type, (NE > 1 ? 4 : 8), NE, FIND>, 8 };
}

template <ggml_type type> attend_choice choose(int n_group, int n_embd_head, bool find) {
    if (n_embd_head <= N_ROW) {
        return find ? choose<type, 1, true>(n_group) : choose<type, 1, false>(n_group);
    }
    return find ? choose<type, 2, true>(n_group) : choose<type, 2, false>(n_group);
}

attend_choice choose(ggml_type type, int n_group, int n_embd_head, bool find) {
    switch (type) {
        case GGML_TYPE_F32:  return choose<GGML_TYPE_F32> (n_group, n_embd_head, find);
        case GGML_TYPE_BF16: return choose<GGML_TYPE_BF16>(n_group, n_embd_head, find);
        case GGML_TYPE_Q8_0: return choose<GGML_TYPE_Q8_0>(n_group, n_embd_head, find);
        case GGML_TYPE_Q4_0: return choose<GGML_TYPE_Q4_0>(n_group, n_embd_head, find);
        default:             return choose<GGML_TYPE_F16> (n_group, n_embd_head, find);
    }
}

bool readable(const ggml_tensor * x) { // by ann_row
    const int64_t align = x->type == GGML_TYPE_F32 ? 16 : x->type == GGML_TYPE_F16 || x->type == GGML_TYPE_BF16 ? 8 : 2;
    return x->ne[0] % N_LANE == 0 && x->ne[0] <= 2*N_ROW && x->nb[1] % align == 0 && x->nb[2] % align == 0 && x->nb[3] % align == 0;
}

} // namespace

bool ggml_cuda_ann_attn_supported(const ggml_tensor * op) {
    const ggml_tensor * k = op->src[1];
    const ggml_tensor * v = op->src[2];
    switch (k->type) {
        case GGML_TYPE_F32: case GGML_TYPE_F16: case GGML_TYPE_BF16: case GGML_TYPE_Q8_0: case GGML_TYPE_Q4_0: break;
        default: return false;
    }
    return k->type == v->type && readable(k) && readable(v) && ggml_is_contiguous(op) && op->ne[2]*op->ne[3] < 65536 &&
        k->ne[1] < INT32_MAX/2;
}

bool ann_attn_finds(const ggml_tensor * topk, const ggml_tensor * attn) {
    return attn->op == GGML_OP_ANN && ggml_ann_get_kind(attn) == GGML_ANN_ATTN && attn->src[3] == topk && ann_topk_is_few(topk) &&
        topk->ne[0] <= N_LIST && ggml_cuda_ann_attn_supported(attn);
}

void ggml_cuda_ann_attn(ggml_backend_cuda_context & ctx, ggml_tensor * dst) { ann_attn(ctx, dst, nullptr); }

void ann_attn(ggml_backend_cuda_context & ctx, ggml_tensor * dst, const topk_args * found) {
    const ggml_tensor * q     = dst->src[0];
    const ggml_tensor * k     = dst->src[1];
    const ggml_tensor * v     = dst->src[2];
    const ggml_tensor * cells = dst->src[3];
    const ggml_tensor * mask  = dst->src[4];
    const ggml_tensor * sinks = dst->src[5];

    attn_args a = {};
    a.q        = (const char *) q->data;
    a.k        = (const char *) k->data;
    a.v        = (const char *) v->data;
    a.cells    = cells ? (const char *) cells->data : nullptr;
    a.mask     = mask ? (const char *) mask->data : nullptr;
    a.sinks    = sinks ? (const float *) sinks->data : nullptr;
    a.dst      = (float *) dst->data;
    a.nbq1     = q->nb[1];
    a.nbq2     = q->nb[2];
    a.nbq3     = q->nb[3];
    a.nbk1     = k->nb[1];
    a.nbk2     = k->nb[2];
    a.nbk3     = k->nb[3];
    a.nbv1     = v->nb[1];
    a.nbv2     = v->nb[2];
    a.nbv3     = v->nb[3];
    a.nbc1     = cells ? cells->nb[1] : 0;
    a.nbc3     = cells ? cells->nb[3] : 0;
    a.nbm1     = mask ? mask->nb[1] : 0;
    a.nbm3     = mask ? mask->nb[3] : 0;
    a.mask_f32 = mask && mask->type == GGML_TYPE_F32;
    a.v_bytes  = (int) ggml_row_size(v->type, v->ne[0]);
    a.dk       = (int) q->ne[0];
    a.dv       = (int) v->ne[0];
    a.n_tokens = (int) q->ne[1];
    a.n_head   = (int) q->ne[2];
    a.n_group  = (int) (q->ne[2]/k->ne[2]);
    a.n_cells  = (int) (cells ? cells->ne[0] : k->ne[1]);
    a.scale    = ggml_get_op_params_f32(dst, 2);
    a.softcap  = ggml_get_op_params_f32(dst, 3);

    const attend_choice choice = choose(k->type, a.n_group, std::max(a.dk, a.dv), found != nullptr);
    a.n_head_blocks = (a.n_group + choice.n_heads - 1)/choice.n_heads;

    // splits until the chip is busy, of at least a chunk
    const int n_rows   = (int) (q->ne[1]*q->ne[3]);
    const int n_blocks = (int) k->ne[2]*a.n_head_blocks*n_rows;
    const int n_chunks = (a.n_cells + N_CHUNK - 1)/N_CHUNK;
    const int n_wanted = std::max(1, 2*ggml_cuda_info().devices[ctx.device].nsm/n_blocks);
    a.n_per_split = std::max(1, (n_chunks + n_wanted - 1)/n_wanted)*N_CHUNK;
    const int n_split = std::max(1, (a.n_cells + a.n_per_split - 1)/a.n_per_split);

    ggml_cuda_pool_alloc<float> partial(ctx.pool());
    if (n_split > 1) {
        a.partial = partial.alloc((size_t) n_rows*a.n_head*n_split*(2 + a.dv));
    }
    ann_launch(choice.kernel, dim3(k->ne[2]*a.n_head_blocks, n_rows, n_split), dim3(N_THREADS), ctx.stream(), a,
        found ? *found : topk_args {});
    if (n_split > 1) {
        ann_launch(merge_splits, dim3(a.n_head, n_rows), dim3(256), ctx.stream(), a, n_split);
    }
}
