// GGML_ANN_MEASURE. Contract in ggml-ann.h. Row-parallel, no tricks: the figures of evaluation rest on it.

#include "ann-cpu.h"
#include "ann-collect.h"
#include "ann-row.h"

#include "ggml-ann.h"
#include "ggml-cpu-impl.h"

#include <cmath>

namespace {

using namespace ann;

struct measure_args {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * candidates;
    const ggml_tensor * mask;
    ggml_tensor       * dst;

    int64_t dk, n_kv, n_tokens, n_head, n_group, n_stream;
    int32_t n_top_k;
    float   scale, softcap;

    explicit measure_args(ggml_tensor * op) :
        q(op->src[0]), k(op->src[1]), candidates(op->src[2]), mask(op->src[3]), dst(op),
        dk(q->ne[0]), n_kv(k->ne[1]), n_tokens(q->ne[1]), n_head(q->ne[2]), n_group(n_head/k->ne[2]), n_stream(q->ne[3]),
        n_top_k(ggml_get_op_params_i32(op, 1)), scale(ggml_get_op_params_f32(op, 2)), softcap(ggml_get_op_params_f32(op, 3)) {}
};

// per thread: probabilities of a head and their maximum over heads [2][n_kv], a key [dk], ranking [n_kv], kept [n_kv]
size_t scratch_bytes(const measure_args & a) {
    return GGML_PAD(a.n_kv*(2*sizeof(float) + sizeof(uint64_t) + 1) + a.dk*sizeof(float), 64);
}

void measure_row(const measure_args & a, int64_t t, int64_t s, char * scratch) {
    uint64_t * ranking = (uint64_t *) scratch;
    float    * prob    = (float *) (ranking + a.n_kv);
    float    * teacher = prob + a.n_kv;
    float    * key     = teacher + a.n_kv;
    char     * kept    = (char *) (key + a.dk);

    std::memset(kept, 0, a.n_kv);
    std::fill(teacher, teacher + a.n_kv, -INFINITY);

    const int32_t * cells = (const int32_t *) ((const char *) a.candidates->data + t*a.candidates->nb[1] + s*a.candidates->nb[3]);
    int64_t n_attended = 0;
    for (; n_attended < a.candidates->ne[0] && cells[n_attended] >= 0; ++n_attended) {
        kept[cells[n_attended]] = 1;
    }

    double mass = 0.0;
    for (int64_t h = 0; h < a.n_head; ++h) {
        const float * q = (const float *) ((const char *) a.q->data + t*a.q->nb[1] + h*a.q->nb[2] + s*a.q->nb[3]);
        float max = -INFINITY;
        for (int64_t j = 0; j < a.n_kv; ++j) {
            if (!is_visible(a.mask, j, t, s)) {
                prob[j] = -INFINITY;
                continue;
            }
            const float x = dot_row(a.k->type, row_of(a.k, j, h/a.n_group, s), q, a.dk, key)*a.scale;
            prob[j] = a.softcap > 0.0f ? a.softcap*std::tanh(x/a.softcap) : x;
            max = std::max(max, prob[j]);
        }
        double sum = 0.0, sum_kept = 0.0;
        for (int64_t j = 0; j < a.n_kv; ++j) {
            if (prob[j] != -INFINITY) {
                prob[j] = std::exp(prob[j] - max);
                sum += prob[j];
                sum_kept += kept[j] ? prob[j] : 0.0;
            }
        }
        for (int64_t j = 0; j < a.n_kv && sum > 0.0; ++j) {
            if (prob[j] != -INFINITY) {
                teacher[j] = std::max(teacher[j], (float) (prob[j]/sum));
            }
        }
        mass += sum > 0.0 ? sum_kept/sum : 0.0;
    }

    int64_t n_visible = 0;
    for (int64_t j = 0; j < a.n_kv; ++j) {
        if (teacher[j] != -INFINITY) {
            ranking[n_visible++] = pack(teacher[j], (int32_t) j);
        }
    }
    const int64_t n_best = std::min<int64_t>(a.n_top_k, n_visible);
    int64_t n_hits = 0;
    if (n_best > 0) {
        std::nth_element(ranking, ranking + n_best - 1, ranking + n_visible, std::greater<uint64_t>());
        for (int64_t i = 0; i < n_best; ++i) {
            n_hits += kept[cell_of(ranking[i])];
        }
    }

    float * res = (float *) ((char *) a.dst->data + t*a.dst->nb[1] + s*a.dst->nb[3]);
    res[GGML_ANN_MEASURE_MASS]     = (float) (mass/a.n_head);
    res[GGML_ANN_MEASURE_RECALL]   = n_best > 0 ? (float) n_hits/n_best : 1.0f;
    res[GGML_ANN_MEASURE_VISIBLE]  = (float) n_visible;
    res[GGML_ANN_MEASURE_ATTENDED] = (float) n_attended;
}

} // namespace

size_t ggml_ann_measure_work_size(const ggml_tensor * op, int n_tasks) {
    return n_tasks*scratch_bytes(measure_args(const_cast<ggml_tensor *>(op)));
}

void ggml_compute_forward_ann_measure(const ggml_compute_params * params, ggml_tensor * dst) {
    const measure_args a(dst);
    char * scratch = (char *) params->wdata + params->ith*scratch_bytes(a);
    for (int64_t r = params->ith; r < a.n_tokens*a.n_stream; r += params->nth) {
        measure_row(a, r % a.n_tokens, r/a.n_tokens, scratch);
    }
}
