// Rows as the evaluation ops read them, one cell at a time, of any cache type. For speed see ann-simd.h.
#pragma once

#include "ann-simd.h"

#include "ggml.h"

#include <cmath>

namespace ann {

inline bool is_visible(const ggml_tensor * mask, int64_t cell, int64_t t, int64_t s) {
    const char * p = (const char *) mask->data + t*mask->nb[1] + s*mask->nb[3];
    return mask->type == GGML_TYPE_F16 ? ((const ggml_fp16_t *) p)[cell] != 0xFC00 : ((const float *) p)[cell] != -INFINITY;
}

// the row of cell and head of a cache tensor [d, n_kv, n_head_kv, n_stream]
inline const char * row_of(const ggml_tensor * k, int64_t cell, int64_t h, int64_t s) {
    return (const char *) k->data + cell*k->nb[1] + h*k->nb[2] + s*k->nb[3];
}

// scratch: [d], used by types that are neither f16 nor f32
inline const float * row_floats(ggml_type type, const char * row, int64_t d, float * scratch) {
    if (type == GGML_TYPE_F32) {
        return (const float *) row;
    }
    ggml_get_type_traits(type)->to_float(row, scratch, d);
    return scratch;
}

inline float dot_row(ggml_type type, const char * row, const float * q, int64_t d, float * scratch) {
    return type == GGML_TYPE_F16 ? dot((const ggml_fp16_t *) row, q, d) : dot(row_floats(type, row, d, scratch), q, d);
}

} // namespace ann
