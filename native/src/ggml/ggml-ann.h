// Constructors of the ops of ANN attention. All of them are GGML_OP_ANN; the kind is op_params[0].
#pragma once

#include "ggml.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ggml_ann_kind {
    GGML_ANN_TOPK    = 0,
    GGML_ANN_ATTN    = 1,
    GGML_ANN_MEASURE = 2,
    GGML_ANN_MASK    = 3,
    GGML_ANN_SELECT  = 4, // CPU only
};

// How ggml_ann_select scores the cells; the published ways of choosing that a learned search is compared with.
enum ggml_ann_selector {
    GGML_ANN_SELECTOR_DOT     = 0, // largest dot(q, k) over heads
    GGML_ANN_SELECTOR_PAGES   = 1, // Quest: pages of 16 cells, by the bound that their smallest and largest keys allow
    GGML_ANN_SELECTOR_RECENT  = 2, // StreamingLLM, Longformer: the last cells
    GGML_ANN_SELECTOR_BIGBIRD = 3, // BigBird: half the last cells, half random ones
    GGML_ANN_SELECTOR_LSH     = 4, // Reformer: shared buckets of 8 random rotations with 16 buckets each
    GGML_ANN_SELECTOR_RANDOM  = 5,
    GGML_ANN_SELECTOR_COUNT   = 6,
};

// rows of the result of ggml_ann_measure
enum ggml_ann_measure_row {
    GGML_ANN_MEASURE_MASS     = 0, // mean over heads of the attention mass on the candidates
    GGML_ANN_MEASURE_RECALL   = 1, // share of the teacher's top min(n_top_k, visible) cells among the candidates
    GGML_ANN_MEASURE_VISIBLE  = 2,
    GGML_ANN_MEASURE_ATTENDED = 3,
    GGML_ANN_MEASURE_COUNT    = 4,
};

GGML_API enum ggml_ann_kind ggml_ann_get_kind(const struct ggml_tensor * op);

// Exact candidates of every query: the always-attended cells and the best of the rest by search score.
//
// q:      [n_embd_search, n_tokens, 1, n_stream]  f32, any positive scale
// k:      [n_embd_search, n_kv,     1, n_stream]  f32 | f16 | q8_0, one search key per cell (may be strided)
// mask:   [n_kv,          n_tokens, 1, n_stream]  f32 | f16, 0 = visible, -INFINITY = not
//     or  [2,             n_tokens, 1, n_stream]  i32, the visible cells are [mask[0], mask[1]), within [0, n_kv]
// always: [n_always,      n_tokens, 1, n_stream]  i32 distinct visible cells, -1 = unused, or NULL
// res:    [n_top_k,       n_tokens, 1, n_stream]  i32 cells ascending, then -1 when fewer are visible
//
// score[j, t] = dot(q[:, t], k[:, j]); of the cells that are not in `always`, the n_top_k - n_always best are taken.
// Equal scores: the lower cell wins, on every backend. Never a masked cell, never a cell twice.
// source: ann-sparseattention, SearchProjection; with window and sinks as in models/recipe
GGML_API struct ggml_tensor * ggml_ann_topk(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * mask,
        struct ggml_tensor  * always,
        int32_t               n_top_k);

// As ggml_ann_topk, but with the cells scored in another way, from any vectors. Slow by design: it is what searches are
// compared with, and with GGML_ANN_SELECTOR_DOT on search vectors the oracle of ggml_ann_topk.
//
// q:      [d, n_tokens, n_head,    n_stream]  f32, any positive scale
// k:      [d, n_kv,     n_head_kv, n_stream]  any type that converts to f32; n_head a multiple of n_head_kv
// mask, always, res: as for ggml_ann_topk
//
// One list for all heads. n_frozen > 0: cells from n_frozen on are never found, only `always` can hold them. seed: of
// what is random (rotations, random cells); a query's random cells depend on seed and its number of visible cells only.
// RECENT and BIGBIRD take a higher cell for a later one. Pages: cells 16 p to 16 p + 15; the bound of a page is
// that of its visible cells; the last page taken is cut to the cells that still fit, the lower ones.
// source: raw QK of the models/recipe oracle; Quest arXiv 2406.10774; StreamingLLM 2309.17453; BigBird 2007.14062;
// Reformer 2001.04451
GGML_API struct ggml_tensor * ggml_ann_select(
        struct ggml_context  * ctx,
        struct ggml_tensor   * q,
        struct ggml_tensor   * k,
        struct ggml_tensor   * mask,
        struct ggml_tensor   * always,
        int32_t                n_top_k,
        enum ggml_ann_selector selector,
        int32_t                seed,
        int32_t                n_frozen);

// Softmax attention over the listed cells, or over all visible ones.
//
// q:          [n_embd_head_k, n_tokens, n_head,    n_stream]  f32 (permuted as for ggml_flash_attn_ext)
// k:          [n_embd_head_k, n_kv,     n_head_kv, n_stream]  any type that converts to f32
// v:          [n_embd_head_v, n_kv,     n_head_kv, n_stream]  likewise, rows (not transposed)
// candidates: [n_top_k,       n_tokens, 1,         n_stream]  i32, -1 after the last; one list for all heads; or NULL
// mask:       [n_kv,          n_tokens, 1,         n_stream]  f32 | f16; read only when candidates is NULL
// sinks:      [n_head]                                        f32 logits of the attention sinks, or NULL
// res:        [n_embd_head_v, n_head,   n_tokens,  n_stream]  f32; zero where nothing is attended
//
// logit = scale * dot(q, k), or softcap * tanh(scale * dot(q, k) / softcap) when softcap > 0
GGML_API struct ggml_tensor * ggml_ann_attn(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * v,
        struct ggml_tensor  * candidates,
        struct ggml_tensor  * mask,
        struct ggml_tensor  * sinks,
        float                 scale,
        float                 softcap);

// The mask of queries that see one range of cells each: a few bytes from the host instead of one a cell and query.
//
// ranges: [2,    n_tokens, 1, n_stream]  i32, the visible cells are [ranges[0], ranges[1]), within [0, n_kv]
// type:   f32 | f16
// res:    [n_kv, n_tokens, 1, n_stream]  0 = visible, -INFINITY = not
GGML_API struct ggml_tensor * ggml_ann_mask(
        struct ggml_context * ctx,
        struct ggml_tensor  * ranges,
        enum ggml_type        type,
        int64_t               n_kv);

// What a choice of candidates keeps of full attention. Teacher = softmax over all visible cells of every head; its
// ranking of cells is the maximum over heads; equal: the lower cell wins. Slow by design: it is the oracle.
//
// q, k, candidates, mask, scale, softcap: as for ggml_ann_attn
// res: [GGML_ANN_MEASURE_COUNT, n_tokens, 1, n_stream]  f32
GGML_API struct ggml_tensor * ggml_ann_measure(
        struct ggml_context * ctx,
        struct ggml_tensor  * q,
        struct ggml_tensor  * k,
        struct ggml_tensor  * candidates,
        struct ggml_tensor  * mask,
        int32_t               n_top_k,
        float                 scale,
        float                 softcap);

#ifdef __cplusplus
}
#endif
