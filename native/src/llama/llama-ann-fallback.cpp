#include "llama-ann-fallback.h"

#include "llama-impl.h"
#include "llama-model.h"

#include "ggml-ann.h"
#include "ggml-cpp.h"

namespace {

// the nodes of a layer as llama-ann-graph.cpp builds them, for one token; nothing is computed
struct layer_ops {
    ggml_context_ptr ctx { ggml_init({ 32*ggml_tensor_overhead(), nullptr, true }) };
    ggml_tensor * search = nullptr;
    ggml_tensor * attention = nullptr;

    layer_ops(const llama_model & model, const llama_ann_params & params, int32_t il, ggml_type type_k, ggml_type type_v, ggml_type type_search) {
        constexpr int64_t N_KV = 256; // any
        const auto & h = model.hparams;
        auto * c = ctx.get();
        auto cache = [&](ggml_type type, int64_t d, int64_t n_head) {
            return ggml_permute(c, ggml_new_tensor_3d(c, type, d, n_head, N_KV), 0, 2, 1, 3);
        };
        const int64_t d = model.ann.n_embd_search;
        ggml_tensor * q_search = ggml_new_tensor_4d(c, GGML_TYPE_F32, d, 1, 1, 1);
        ggml_tensor * mask     = ggml_new_tensor_4d(c, GGML_TYPE_F16, N_KV, 1, 1, 1);
        ggml_tensor * q = ggml_permute(c, ggml_new_tensor_3d(c, GGML_TYPE_F32, h.n_embd_head_k(il), h.n_head(il), 1), 0, 2, 1, 3);
        ggml_tensor * k = cache(type_k, h.n_embd_head_k(il), h.n_head_kv(il));
        ggml_tensor * v = cache(type_v, h.n_embd_head_v(il), h.n_head_kv(il));
        search = params.selector == LLAMA_ANN_SELECTOR_LEARNED && params.n_frozen == 0 ?
            ggml_ann_topk(c, q_search, cache(type_search, d, 1), mask, nullptr, params.top_k) :
            ggml_ann_select(c, q, k, mask, nullptr, params.top_k, GGML_ANN_SELECTOR_DOT, 0, params.n_frozen);
        attention = ggml_ann_attn(c, q, k, v, search, nullptr, nullptr, 1.0f, 0.0f);
    }
};

} // namespace

std::string llama_ann_describe_fallback(const llama_model & model, const llama_ann_params & params, int32_t il, ggml_type type_k, ggml_type type_v,
        ggml_type type_search, const std::function<bool(const ggml_tensor *)> & supports_kv,
        const std::function<bool(const ggml_tensor *)> & supports_search) {
    if (params.mode == LLAMA_ANN_MODE_DENSE) {
        return "";
    }
    const layer_ops ops(model, params, il, type_k, type_v, type_search);
    std::string res;
    auto add = [&](const std::string & part) { res += (res.empty() ? "" : "; ") + part; };
    if (params.selector != LLAMA_ANN_SELECTOR_LEARNED || params.n_frozen > 0) {
        if (params.selector != LLAMA_ANN_SELECTOR_LEARNED ? supports_kv : supports_search) {
            add("a selector other than the learned one always is");
        }
    } else if (supports_search && params.mode == LLAMA_ANN_MODE_HNSW) {
        add("search by an index (mode hnsw) always is: use mode exact");
    } else if (supports_search && !supports_search(ops.search)) {
        add(format("search with top_k %d, keys of %lld dims in %s (what a GPU of CUDA takes: top_k up to 4096, up to 1024 dims in f32, f16 or q8_0)",
            params.top_k, (long long) model.ann.n_embd_search, ggml_type_name(type_search)));
    }
    if (supports_kv && !supports_kv(ops.attention)) {
        add(format("attention with K in %s and V in %s, heads of %u and %u dims (what a GPU of CUDA takes: one type for both, f32, f16, bf16, q8_0 or q4_0, "
            "up to 256 dims)", ggml_type_name(type_k), ggml_type_name(type_v), model.hparams.n_embd_head_k(il), model.hparams.n_embd_head_v(il)));
    }
    return res;
}
