#include "ggml-ann.h"

#include "ggml-impl.h"

#include <stdbool.h>
#include <string.h>

// op_params of all kinds: [0] kind, [1] n_top_k, [2] scale, [3] softcap; of select also [4] selector, [5] seed, [6] n_frozen
static struct ggml_tensor * ggml_ann_new(
        struct ggml_context * ctx, enum ggml_type type, const int64_t ne[4],
        enum ggml_ann_kind kind, int32_t n_top_k, float scale, float softcap) {
    struct ggml_tensor * res = ggml_new_tensor(ctx, type, 4, ne);

    res->op = GGML_OP_ANN;
    ggml_set_op_params_i32(res, 0, kind);
    ggml_set_op_params_i32(res, 1, n_top_k);
    ggml_set_op_params_f32(res, 2, scale);
    ggml_set_op_params_f32(res, 3, softcap);

    return res;
}

static bool ggml_ann_is_mask(const struct ggml_tensor * mask, int64_t n_kv, int64_t n_tokens, int64_t n_stream) {
    return (mask->type == GGML_TYPE_F32 || mask->type == GGML_TYPE_F16) && mask->nb[0] == ggml_type_size(mask->type) &&
        mask->ne[0] == n_kv && mask->ne[1] == n_tokens && mask->ne[2] == 1 && mask->ne[3] == n_stream;
}

static bool ggml_ann_is_list(const struct ggml_tensor * list, int64_t n_tokens, int64_t n_stream) {
    return list->type == GGML_TYPE_I32 && list->nb[0] == sizeof(int32_t) &&
        list->ne[1] == n_tokens && list->ne[2] == 1 && list->ne[3] == n_stream;
}

static bool ggml_ann_is_ranges(const struct ggml_tensor * ranges, int64_t n_tokens, int64_t n_stream) {
    return ggml_ann_is_list(ranges, n_tokens, n_stream) && ranges->ne[0] == 2;
}

enum ggml_ann_kind ggml_ann_get_kind(const struct ggml_tensor * op) {
    return (enum ggml_ann_kind) ggml_get_op_params_i32(op, 0);
}

struct ggml_tensor * ggml_ann_topk(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * mask,
        struct ggml_tensor  * always,
        int32_t               n_top_k) {
    const int64_t n_tokens = q->ne[1];
    const int64_t n_stream = q->ne[3];

    GGML_ASSERT(q->type == GGML_TYPE_F32 && q->nb[0] == sizeof(float) && q->ne[2] == 1);
    GGML_ASSERT(k->type == GGML_TYPE_F32 || k->type == GGML_TYPE_F16 || k->type == GGML_TYPE_Q8_0);
    GGML_ASSERT(k->ne[0] == q->ne[0] && k->ne[0] % 32 == 0 && k->ne[2] == 1 && k->ne[3] == n_stream);
    GGML_ASSERT(ggml_ann_is_mask(mask, k->ne[1], n_tokens, n_stream) || ggml_ann_is_ranges(mask, n_tokens, n_stream));
    GGML_ASSERT(always == NULL || ggml_ann_is_list(always, n_tokens, n_stream));
    GGML_ASSERT(n_top_k >= 1 && (always == NULL || always->ne[0] <= n_top_k));

    const int64_t ne[4] = { n_top_k, n_tokens, 1, n_stream };
    struct ggml_tensor * res = ggml_ann_new(ctx, GGML_TYPE_I32, ne, GGML_ANN_TOPK, n_top_k, 1.0f, 0.0f);

    res->src[0] = q;
    res->src[1] = k;
    res->src[2] = mask;
    res->src[3] = always;

    return res;
}

struct ggml_tensor * ggml_ann_select(
        struct ggml_context  * ctx,
        struct ggml_tensor   * q,
        struct ggml_tensor   * k,
        struct ggml_tensor   * mask,
        struct ggml_tensor   * always,
        int32_t                n_top_k,
        enum ggml_ann_selector selector,
        int32_t                seed,
        int32_t                n_frozen) {
    const int64_t n_tokens = q->ne[1];
    const int64_t n_stream = q->ne[3];

    GGML_ASSERT(q->type == GGML_TYPE_F32 && q->nb[0] == sizeof(float));
    GGML_ASSERT(k->ne[0] == q->ne[0] && k->ne[3] == n_stream && q->ne[2] % k->ne[2] == 0);
    GGML_ASSERT(ggml_ann_is_mask(mask, k->ne[1], n_tokens, n_stream));
    GGML_ASSERT(always == NULL || ggml_ann_is_list(always, n_tokens, n_stream));
    GGML_ASSERT(n_top_k >= 1 && (always == NULL || always->ne[0] <= n_top_k));
    GGML_ASSERT(selector >= 0 && selector < GGML_ANN_SELECTOR_COUNT && n_frozen >= 0);

    const int64_t ne[4] = { n_top_k, n_tokens, 1, n_stream };
    struct ggml_tensor * res = ggml_ann_new(ctx, GGML_TYPE_I32, ne, GGML_ANN_SELECT, n_top_k, 1.0f, 0.0f);
    ggml_set_op_params_i32(res, 4, (int32_t) selector);
    ggml_set_op_params_i32(res, 5, seed);
    ggml_set_op_params_i32(res, 6, n_frozen);

    res->src[0] = q;
    res->src[1] = k;
    res->src[2] = mask;
    res->src[3] = always;

    return res;
}

struct ggml_tensor * ggml_ann_attn(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * v,
        struct ggml_tensor  * candidates,
        struct ggml_tensor  * mask,
        struct ggml_tensor  * sinks,
        float                 scale,
        float                 softcap) {
    const int64_t n_tokens = q->ne[1];
    const int64_t n_head   = q->ne[2];
    const int64_t n_stream = q->ne[3];

    GGML_ASSERT(q->type == GGML_TYPE_F32 && q->nb[0] == sizeof(float));
    GGML_ASSERT(k->ne[0] == q->ne[0] && k->ne[3] == n_stream && n_head % k->ne[2] == 0);
    GGML_ASSERT(v->ne[1] == k->ne[1] && v->ne[2] == k->ne[2] && v->ne[3] == n_stream);
    GGML_ASSERT(v->nb[0] == ggml_type_size(v->type) && k->nb[0] == ggml_type_size(k->type));
    GGML_ASSERT(candidates != NULL || mask != NULL);
    GGML_ASSERT(candidates == NULL || ggml_ann_is_list(candidates, n_tokens, n_stream));
    GGML_ASSERT(mask == NULL || ggml_ann_is_mask(mask, k->ne[1], n_tokens, n_stream));
    GGML_ASSERT(sinks == NULL || (sinks->type == GGML_TYPE_F32 && ggml_nelements(sinks) == n_head));

    const int64_t ne[4] = { v->ne[0], n_head, n_tokens, n_stream };
    const int32_t n_top_k = candidates ? (int32_t) candidates->ne[0] : 0;
    struct ggml_tensor * res = ggml_ann_new(ctx, GGML_TYPE_F32, ne, GGML_ANN_ATTN, n_top_k, scale, softcap);

    res->src[0] = q;
    res->src[1] = k;
    res->src[2] = v;
    res->src[3] = candidates;
    res->src[4] = mask;
    res->src[5] = sinks;

    return res;
}

struct ggml_tensor * ggml_ann_mask(struct ggml_context * ctx, struct ggml_tensor * ranges, enum ggml_type type, int64_t n_kv) {
    GGML_ASSERT(ggml_ann_is_ranges(ranges, ranges->ne[1], ranges->ne[3]));
    GGML_ASSERT(type == GGML_TYPE_F32 || type == GGML_TYPE_F16);

    const int64_t ne[4] = { n_kv, ranges->ne[1], 1, ranges->ne[3] };
    struct ggml_tensor * res = ggml_ann_new(ctx, type, ne, GGML_ANN_MASK, 0, 1.0f, 0.0f);

    res->src[0] = ranges;

    return res;
}

struct ggml_tensor * ggml_ann_measure(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * candidates,
        struct ggml_tensor  * mask,
        int32_t               n_top_k,
        float                 scale,
        float                 softcap) {
    const int64_t n_tokens = q->ne[1];
    const int64_t n_stream = q->ne[3];

    GGML_ASSERT(q->type == GGML_TYPE_F32 && q->nb[0] == sizeof(float));
    GGML_ASSERT(k->ne[0] == q->ne[0] && k->ne[3] == n_stream && q->ne[2] % k->ne[2] == 0);
    GGML_ASSERT(ggml_ann_is_list(candidates, n_tokens, n_stream));
    GGML_ASSERT(ggml_ann_is_mask(mask, k->ne[1], n_tokens, n_stream));
    GGML_ASSERT(n_top_k >= 1);

    const int64_t ne[4] = { GGML_ANN_MEASURE_COUNT, n_tokens, 1, n_stream };
    struct ggml_tensor * res = ggml_ann_new(ctx, GGML_TYPE_F32, ne, GGML_ANN_MEASURE, n_top_k, scale, softcap);

    res->src[0] = q;
    res->src[1] = k;
    res->src[2] = candidates;
    res->src[3] = mask;

    return res;
}
