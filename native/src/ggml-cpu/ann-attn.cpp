// GGML_ANN_ATTN. Contract in ggml-ann.h.
//
// With candidates: a thread takes whole (token, K/V head) units; K and V rows of the listed cells are read in place,
// each once for all query heads of the group. Without: few queries over all visible cells, threads split the cells (rows
// are then read front to back, which is several times faster than head by head) and merge their partial softmaxes.

#include "ann-cpu.h"
#include "ann-simd.h"

#include "ggml-ann.h"
#include "ggml-cpu-impl.h"
#include "vec.h"

#include <algorithm>
#include <cmath>

namespace {

using namespace ann;

constexpr int64_t N_AHEAD = 4;  // cells prefetched ahead
constexpr int64_t N_CHUNK = 64; // cells of one softmax step of the dense mode

struct attn_args {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * candidates;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    ggml_tensor       * dst;

    int64_t dk, dv, n_kv, n_tokens, n_head, n_head_kv, n_group, n_stream;
    int64_t n_list; // candidates per query
    float   scale, softcap;

    explicit attn_args(ggml_tensor * op) :
        q(op->src[0]), k(op->src[1]), v(op->src[2]), candidates(op->src[3]), mask(op->src[4]), sinks(op->src[5]), dst(op),
        dk(q->ne[0]), dv(v->ne[0]), n_kv(k->ne[1]), n_tokens(q->ne[1]), n_head(q->ne[2]), n_head_kv(k->ne[2]),
        n_group(n_head/n_head_kv), n_stream(q->ne[3]), n_list(candidates ? candidates->ne[0] : 0),
        scale(ggml_get_op_params_f32(op, 2)), softcap(ggml_get_op_params_f32(op, 3)) {}

    const float * query(int64_t t, int64_t h, int64_t s) const {
        return (const float *) ((const char *) q->data + t*q->nb[1] + h*q->nb[2] + s*q->nb[3]);
    }
    static const char * row(const ggml_tensor * x, int64_t cell, int64_t h, int64_t s) {
        return (const char *) x->data + cell*x->nb[1] + h*x->nb[2] + s*x->nb[3];
    }
    float * result(int64_t t, int64_t h, int64_t s) const {
        return (float *) ((char *) dst->data + h*dst->nb[1] + t*dst->nb[2] + s*dst->nb[3]);
    }
    float logit(float x) const { return softcap > 0.0f ? softcap*std::tanh(x*scale/softcap) : x*scale; }
};

// a row of any cache type as f32: in place, or converted into tmp
const float * row_f32(const ggml_tensor * x, const char * row, int64_t n, float * tmp) {
    switch (x->type) {
        case GGML_TYPE_F32: return (const float *) row;
        case GGML_TYPE_F16: convert((const ggml_fp16_t *) row, tmp, n); return tmp;
        default:            ggml_get_type_traits(x->type)->to_float(row, tmp, n); return tmp;
    }
}

void prefetch(const char * p, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += 64) {
        __builtin_prefetch(p + i);
    }
}

size_t n_scratch(const attn_args & a) { // floats per thread
    return a.n_group*GGML_PAD(a.n_list, 16) + a.dk + a.dv;
}

// one token, one K/V head, the listed cells
void attend_unit(const attn_args & a, int64_t t, int64_t h_kv, int64_t s, float * scratch) {
    const int32_t * cells = (const int32_t *) ((const char *) a.candidates->data + t*a.candidates->nb[1] + s*a.candidates->nb[3]);

    const int64_t stride = GGML_PAD(a.n_list, 16);
    float * scores = scratch; // [n_group][stride]
    float * tmp_k  = scores + a.n_group*stride;
    float * tmp_v  = tmp_k + a.dk;

    const int64_t h0 = h_kv*a.n_group;
    const size_t  k_bytes = ggml_row_size(a.k->type, a.dk);
    const size_t  v_bytes = ggml_row_size(a.v->type, a.dv);

    int64_t n = 0;
    for (; n < a.n_list && cells[n] >= 0; ++n) {
        if (n + N_AHEAD < a.n_list && cells[n + N_AHEAD] >= 0) {
            prefetch(a.row(a.k, cells[n + N_AHEAD], h_kv, s), k_bytes);
        }
        const float * k = row_f32(a.k, a.row(a.k, cells[n], h_kv, s), a.dk, tmp_k);
        for (int64_t g = 0; g < a.n_group; ++g) {
            scores[g*stride + n] = a.logit(dot(k, a.query(t, h0 + g, s), a.dk));
        }
        prefetch(a.row(a.v, cells[n], h_kv, s), v_bytes);
    }

    for (int64_t g = 0; g < a.n_group; ++g) {
        float * p   = scores + g*stride;
        float * res = a.result(t, h0 + g, s);
        std::fill(res, res + a.dv, 0.0f);

        float max = -INFINITY;
        for (int64_t i = 0; i < n; ++i) {
            max = std::max(max, p[i]);
        }
        const float sink = a.sinks ? ((const float *) a.sinks->data)[h0 + g] : -INFINITY;
        max = std::max(max, sink);
        if (max == -INFINITY) {
            continue;
        }
        const double sum = ggml_vec_soft_max_f32((int) n, p, p, max) + std::exp((double) sink - max);
        scale(p, (float) (1.0/sum), n);
    }

    for (int64_t i = 0; i < n; ++i) {
        if (i + N_AHEAD < n) {
            prefetch(a.row(a.v, cells[i + N_AHEAD], h_kv, s), v_bytes);
        }
        const float * v = row_f32(a.v, a.row(a.v, cells[i], h_kv, s), a.dv, tmp_v);
        for (int64_t g = 0; g < a.n_group; ++g) {
            axpy(a.result(t, h0 + g, s), scores[g*stride + i], v, a.dv);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// dense mode

// running softmax of one query over a part of the cells
struct partial {
    float   max;
    float   sum;
    float * acc; // [dv], unnormalised
};

size_t n_partial(const attn_args & a) { // floats per thread: the partial of every (query, head)
    return a.n_tokens*a.n_stream*a.n_head*(2 + a.dv);
}

size_t n_dense_scratch(const attn_args & a) { // floats per thread
    return a.n_group*N_CHUNK + N_CHUNK*std::max(a.dk, a.dv);
}

float mask_at(const attn_args & a, int64_t cell, int64_t t, int64_t s) {
    const char * p = (const char *) a.mask->data + t*a.mask->nb[1] + s*a.mask->nb[3];
    return a.mask->type == GGML_TYPE_F16 ? GGML_CPU_FP16_TO_FP32(((const ggml_fp16_t *) p)[cell]) : ((const float *) p)[cell];
}

// adds n visible cells of one K/V head to the partials of its query heads
void attend_chunk(const attn_args & a, const int32_t * cells, int64_t n, int64_t t, int64_t h_kv, int64_t s, float * part, float * scratch) {
    float * p    = scratch;                // [n_group][N_CHUNK]
    float * tmp  = p + a.n_group*N_CHUNK;
    const int64_t h0 = h_kv*a.n_group;

    for (int64_t i = 0; i < n; ++i) {
        const float * k = row_f32(a.k, a.row(a.k, cells[i], h_kv, s), a.dk, tmp);
        for (int64_t g = 0; g < a.n_group; ++g) {
            p[g*N_CHUNK + i] = a.logit(dot(k, a.query(t, h0 + g, s), a.dk));
        }
    }
    for (int64_t g = 0; g < a.n_group; ++g) {
        float * ms = part + (h0 + g)*(2 + a.dv);
        float max = ms[0];
        for (int64_t i = 0; i < n; ++i) {
            max = std::max(max, p[g*N_CHUNK + i]);
        }
        const float keep = ms[0] == -INFINITY ? 0.0f : std::exp(ms[0] - max);
        ms[1] = ms[1]*keep + (float) ggml_vec_soft_max_f32((int) n, p + g*N_CHUNK, p + g*N_CHUNK, max);
        ms[0] = max;
        if (keep != 1.0f) {
            scale(ms + 2, keep, a.dv);
        }
    }
    for (int64_t i = 0; i < n; ++i) {
        const float * v = row_f32(a.v, a.row(a.v, cells[i], h_kv, s), a.dv, tmp);
        for (int64_t g = 0; g < a.n_group; ++g) {
            axpy(part + (h0 + g)*(2 + a.dv) + 2, p[g*N_CHUNK + i], v, a.dv);
        }
    }
}

void attend_dense(const attn_args & a, const ggml_compute_params * params) {
    const int64_t n_rows = a.n_tokens*a.n_stream;
    const int64_t n_per  = GGML_PAD((a.n_kv + params->nth - 1)/params->nth, N_CHUNK);
    const int64_t c0     = std::min(a.n_kv, n_per*params->ith);
    const int64_t c1     = std::min(a.n_kv, c0 + n_per);

    float * parts   = (float *) params->wdata;
    float * mine    = parts + params->ith*n_partial(a);
    float * scratch = parts + params->nth*n_partial(a) + params->ith*n_dense_scratch(a);

    for (int64_t i = 0; i < n_rows*a.n_head; ++i) {
        float * ms = mine + i*(2 + a.dv);
        std::fill(ms, ms + 2 + a.dv, 0.0f);
        ms[0] = -INFINITY;
    }
    for (int64_t j0 = c0; j0 < c1; j0 += N_CHUNK) {
        for (int64_t r = 0; r < n_rows; ++r) {
            const int64_t t = r % a.n_tokens;
            const int64_t s = r/a.n_tokens;
            int32_t cells[N_CHUNK];
            int64_t n = 0;
            for (int64_t j = j0; j < std::min(c1, j0 + N_CHUNK); ++j) {
                if (mask_at(a, j, t, s) != -INFINITY) {
                    cells[n++] = (int32_t) j;
                }
            }
            for (int64_t h = 0; n > 0 && h < a.n_head_kv; ++h) {
                attend_chunk(a, cells, n, t, h, s, mine + r*a.n_head*(2 + a.dv), scratch);
            }
        }
    }

    ggml_barrier(params->threadpool);

    for (int64_t i = params->ith; i < n_rows*a.n_head; i += params->nth) {
        const int64_t h = i % a.n_head;
        const int64_t r = i/a.n_head;
        float * res = a.result(r % a.n_tokens, h, r/a.n_tokens);
        std::fill(res, res + a.dv, 0.0f);

        float max = a.sinks ? ((const float *) a.sinks->data)[h] : -INFINITY;
        const float sink = max;
        for (int th = 0; th < params->nth; ++th) {
            max = std::max(max, parts[th*n_partial(a) + i*(2 + a.dv)]);
        }
        if (max == -INFINITY) {
            continue;
        }
        float sum = sink == -INFINITY ? 0.0f : std::exp(sink - max);
        for (int th = 0; th < params->nth; ++th) {
            const float * ms = parts + th*n_partial(a) + i*(2 + a.dv);
            if (ms[0] != -INFINITY) {
                const float w = std::exp(ms[0] - max);
                sum += w*ms[1];
                axpy(res, w, ms + 2, a.dv);
            }
        }
        scale(res, 1.0f/sum, a.dv);
    }
}

} // namespace

size_t ggml_ann_attn_work_size(const ggml_tensor * op, int n_tasks) {
    const attn_args a(const_cast<ggml_tensor *>(op));
    const size_t n_floats = a.candidates ? n_scratch(a) : n_partial(a) + n_dense_scratch(a);
    return n_tasks*n_floats*sizeof(float);
}

void ggml_compute_forward_ann_attn(const ggml_compute_params * params, ggml_tensor * dst) {
    const attn_args a(dst);
    if (!a.candidates) {
        attend_dense(a, params);
        return;
    }
    float * scratch = (float *) params->wdata + params->ith*n_scratch(a);

    const int64_t n_units = a.n_stream*a.n_tokens*a.n_head_kv;
    const int64_t n_per   = (n_units + params->nth - 1)/params->nth;
    for (int64_t u = params->ith*n_per; u < std::min(n_units, (params->ith + 1)*n_per); ++u) {
        const int64_t h = u % a.n_head_kv;
        const int64_t t = u/a.n_head_kv % a.n_tokens;
        const int64_t s = u/a.n_head_kv/a.n_tokens;
        attend_unit(a, t, h, s, scratch);
    }
}
