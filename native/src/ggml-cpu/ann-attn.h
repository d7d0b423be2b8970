// What the attention kernels share: the tensors of GGML_ANN_ATTN and running softmaxes. Contract in ggml-ann.h.
#pragma once

#include "ann-simd.h"

#include "ggml-cpu-impl.h"
#include "vec.h"

#include <algorithm>
#include <cmath>

namespace ann {

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

// a running softmax: [0] maximum, [1] sum, [2 ...] unnormalised output

inline float * partial_at(float * partials, int64_t head, int64_t dv) { return partials + head*(2 + dv); }

inline void partial_reset(float * p, int64_t dv) {
    std::fill(p, p + 2 + dv, 0.0f);
    p[0] = -INFINITY;
}

// x: logits of n cells, -INFINITY where one is hidden, at least one visible -> their weights under the partial's new maximum;
// what the partial holds is scaled to it
inline void partial_advance(float * p, float * x, int64_t n, int64_t dv) {
    const float max  = std::max(p[0], max_of(x, n));
    const float keep = p[0] == -INFINITY ? 0.0f : std::exp(p[0] - max);
    if (keep != 1.0f && p[0] != -INFINITY) {
        scale(p + 2, keep, dv);
    }
    p[1] = p[1]*keep + (float) ggml_vec_soft_max_f32((int) n, x, x, max);
    p[0] = max;
}

// the output of one head from partials that lie `stride` floats apart, and the attention sink
inline void finish_head(const attn_args & a, const float * partials, int64_t n_partials, size_t stride, int64_t t, int64_t h, int64_t s) {
    float * res = a.result(t, h, s);
    std::fill(res, res + a.dv, 0.0f);

    const float sink = a.sinks ? ((const float *) a.sinks->data)[h] : -INFINITY;
    float max = sink;
    for (int64_t i = 0; i < n_partials; ++i) {
        max = std::max(max, partials[i*stride]);
    }
    if (max == -INFINITY) {
        return; // nothing to attend to
    }
    float sum = sink == -INFINITY ? 0.0f : std::exp(sink - max);
    for (int64_t i = 0; i < n_partials; ++i) {
        const float * p = partials + i*stride;
        if (p[0] != -INFINITY) {
            const float w = std::exp(p[0] - max);
            sum += w*p[1];
            axpy(res, w, p + 2, a.dv);
        }
    }
    scale(res, 1.0f/sum, a.dv);
}

size_t attn_blocks_work_size(const attn_args & a, int n_tasks); // bytes
void   attend_blocks(const attn_args & a, const ggml_compute_params * params);

} // namespace ann
