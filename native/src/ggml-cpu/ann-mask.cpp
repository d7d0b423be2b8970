// GGML_ANN_MASK. Contract in ggml-ann.h. Threads take rows.

#include "ann-cpu.h"

#include "ggml-cpu-impl.h"

#include <algorithm>
#include <cmath>

namespace {

template <typename T> void fill_row(T * row, int64_t n, const int32_t * range, T visible, T hidden) {
    std::fill(row, row + range[0], hidden);
    std::fill(row + range[0], row + range[1], visible);
    std::fill(row + range[1], row + n, hidden);
}

} // namespace

void ggml_compute_forward_ann_mask(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * ranges = dst->src[0];
    const int64_t n_kv = dst->ne[0], n_tokens = dst->ne[1];
    for (int64_t row = params->ith; row < n_tokens*dst->ne[3]; row += params->nth) {
        const int64_t t = row % n_tokens, s = row/n_tokens;
        const int32_t * range = (const int32_t *) ((const char *) ranges->data + t*ranges->nb[1] + s*ranges->nb[3]);
        void * to = (char *) dst->data + t*dst->nb[1] + s*dst->nb[3];
        if (dst->type == GGML_TYPE_F16) {
            fill_row<ggml_fp16_t>((ggml_fp16_t *) to, n_kv, range, 0, 0xFC00);
        } else {
            fill_row<float>((float *) to, n_kv, range, 0.0f, -INFINITY);
        }
    }
}
