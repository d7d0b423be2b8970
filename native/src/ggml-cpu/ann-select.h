// What the selectors of GGML_ANN_SELECT share: arguments, and one function per way of scoring.
#pragma once

#include "ann-row.h"

#include "ggml-ann.h"
#include "ggml-impl.h"

struct ggml_compute_params;

namespace ann {

struct select_args {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * mask;
    const ggml_tensor * always; // may be null
    ggml_tensor       * dst;

    int64_t d, n_kv, n_tokens, n_head, n_head_kv, n_group, n_stream;
    int32_t n_top_k, n_always, n_search;

    ggml_ann_selector selector;
    uint32_t seed;
    int64_t  n_frozen; // cells that may be found

    explicit select_args(ggml_tensor * op) :
        q(op->src[0]), k(op->src[1]), mask(op->src[2]), always(op->src[3]), dst(op),
        d(q->ne[0]), n_kv(k->ne[1]), n_tokens(q->ne[1]), n_head(q->ne[2]), n_head_kv(k->ne[2]), n_group(n_head/n_head_kv), n_stream(q->ne[3]),
        n_top_k((int32_t) op->ne[0]), n_always(always ? (int32_t) always->ne[0] : 0), n_search(n_top_k - n_always),
        selector((ggml_ann_selector) ggml_get_op_params_i32(op, 4)), seed((uint32_t) ggml_get_op_params_i32(op, 5)),
        n_frozen(ggml_get_op_params_i32(op, 6) > 0 ? std::min<int64_t>(ggml_get_op_params_i32(op, 6), n_kv) : n_kv) {}

    const float * query(int64_t t, int64_t h, int64_t s) const {
        return (const float *) ((const char *) q->data + t*q->nb[1] + h*q->nb[2] + s*q->nb[3]);
    }
};

// splitmix64 of two numbers
inline uint64_t hash(uint64_t a, uint64_t b) {
    uint64_t x = a*0x9E3779B97F4A7C15ull + b + 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30))*0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27))*0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// scores: [n_kv], on entry 0 for a cell that may be found and -INFINITY for another; on return the score of the former.
// shared: what *_prepare made of the keys. scratch: [select_scratch_floats], of the calling thread.
void score_dot  (const select_args & a, int64_t t, int64_t s, float * scores, float * scratch);
void score_pages(const select_args & a, int64_t t, int64_t s, const float * shared, float * scores, float * scratch);
void score_lsh  (const select_args & a, int64_t t, int64_t s, const uint8_t * shared, float * scores, float * scratch);

// what depends on the keys alone, once per op; every thread makes its share
size_t pages_bytes  (const select_args & a);
size_t lsh_bytes    (const select_args & a);
void   pages_prepare(const select_args & a, int ith, int nth, float * shared, float * scratch);
void   lsh_prepare  (const select_args & a, int ith, int nth, uint8_t * shared, float * scratch);

constexpr int N_PAGE     = 16; // cells
constexpr int N_ROTATION = 8;
constexpr int N_BUCKET   = 16; // of a rotation: 8 directions and their opposites

inline size_t select_scratch_floats(const select_args & a) {
    return 2*a.d + N_ROTATION*(N_BUCKET/2)*a.d;
}

} // namespace ann
