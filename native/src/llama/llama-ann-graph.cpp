#include "llama-ann-graph.h"

#include "llama-graph.h"
#include "llama-impl.h"
#include "llama-kv-cache-ann.h"
#include "llama-model.h"

#include "ggml-ann.h"

#include <stdexcept>

namespace {

const llama_kv_cache_ann_context * ann_context(const llm_graph_context & g) {
    return dynamic_cast<const llama_kv_cache_ann_context *>(g.mctx);
}

// Asked again before a graph is reused.
bool ann_is_sparse(const llama_kv_cache_ann_context & mctx, const llama_ubatch & ubatch, const llama_cparams & cparams) {
    const auto & params = mctx.get_cache()->get_params();
    // the two ways round differently: where sequences share a cache, what one of them reads should not hang on how short the
    // others are, so there the default (top-k, less than the padding) never applies
    const int64_t n_cells = cparams.n_seq_max > 1 ? mctx.get_n_kv() : mctx.get_n_used(ubatch);
    if (params.mode == LLAMA_ANN_MODE_DENSE || !cparams.causal_attn || n_cells < params.min_context) {
        return false;
    }
    return !(params.prefill_dense && ubatch.n_tokens > ubatch.n_seqs_unq);
}

// the mask says what is visible and nothing else, by positions alone, and is read where the graph's device can write it
bool ann_may_have_ranges(const llama_kv_cache_ann_context * mctx, const llama_ubatch & ubatch, const llama_cparams & cparams, const llama_hparams & hparams) {
    return mctx->has_sinfo() && cparams.causal_attn && !ubatch.is_pos_2d() && !hparams.use_alibi && hparams.swa_type == LLAMA_SWA_TYPE_NONE;
}

// The range of cells that each token of the ubatch sees; false if one sees others. ranges: [2*n_tokens], may be null.
bool ann_find_ranges(const llama_kv_cache_ann_context * mctx, const llama_ubatch & ubatch, int32_t * ranges) {
    const auto & sinfo = mctx->get_sinfo();
    const uint32_t n_tps = ubatch.n_tokens/(uint32_t) sinfo.n_stream();
    int32_t unused[2];
    for (uint32_t i = 0; i < ubatch.n_tokens; ++i) {
        if (!mctx->get_cache()->find_range(ubatch.seq_id[i][0], ubatch.pos[i], sinfo.idxs[i/n_tps][i % n_tps], ranges ? ranges + 2*i : unused)) {
            return false;
        }
    }
    return true;
}

// The layers that an index may answer for.
std::vector<bool> ann_ready(const llama_kv_cache_ann & kv) {
    const bool wanted = kv.get_params().mode == LLAMA_ANN_MODE_HNSW && kv.get_index();
    return wanted ? kv.get_index()->ready() : std::vector<bool>();
}

} // namespace

// positions of the ubatch's tokens, and the cells each of them sees and always attends to
class llm_graph_input_ann : public llm_graph_input_i {
public:
    explicit llm_graph_input_ann(const llama_kv_cache_ann_context * mctx) : mctx(mctx), generation(mctx->get_cache()->get_generation()) {}

    void set_input(const llama_ubatch * ubatch) override;
    bool can_reuse(const llm_graph_params & params) override;

    ggml_tensor * pos    = nullptr; // I32 [n_tokens], if search vectors are rotated
    ggml_tensor * always = nullptr; // I32 [n_sink + n_window, n_tokens/n_stream, 1, n_stream], if there are any
    ggml_tensor * ranges = nullptr; // I32 [2, n_tokens/n_stream, 1, n_stream], if each token sees one range of cells
    bool          sparse = false;

    std::vector<bool> ready;

private:
    const llama_kv_cache_ann_context * mctx;
    uint64_t generation;

    void set_always(const llama_ubatch * ubatch) const;
};

void llm_graph_input_ann::set_input(const llama_ubatch * ubatch) {
    if (pos && pos->buffer) {
        ggml_backend_tensor_set(pos, ubatch->pos, 0, ubatch->n_tokens*sizeof(int32_t));
    }
    if (ranges && ranges->buffer) {
        std::vector<int32_t> data(2*ubatch->n_tokens);
        if (!ann_find_ranges(mctx, *ubatch, data.data())) {
            throw std::runtime_error("the cells of a sequence were moved while its graph was in use"); // not since can_reuse
        }
        ggml_backend_tensor_set(ranges, data.data(), 0, data.size()*sizeof(int32_t));
    }
    if (sparse || always) { // always without sparse: measured on the dense trajectory
        set_always(ubatch);
    }
    if (!sparse && mctx->get_cache()->get_params().count) {
        mctx->get_cache()->counts.n_dense += ubatch->n_tokens;
    }
}

void llm_graph_input_ann::set_always(const llama_ubatch * ubatch) const {
    const auto * kv = mctx->get_cache();
    const auto & params = kv->get_params();
    const int64_t n_always = params.n_sink + params.n_window;
    const bool    wanted   = always && always->buffer;
    const bool    count    = sparse && params.count;
    if (!wanted && !count) {
        return;
    }
    const auto & sinfo = mctx->get_sinfo();
    const uint32_t n_tps = ubatch->n_tokens/(uint32_t) sinfo.n_stream();

    std::vector<int32_t> data(ubatch->n_tokens*n_always);
    kv->forget_sorted();
    for (uint32_t i = 0; i < ubatch->n_tokens; ++i) {
        const int64_t n_visible = kv->find_always(ubatch->seq_id[i][0], ubatch->pos[i], sinfo.idxs[i/n_tps][i % n_tps],
            count, data.data() + i*n_always);
        if (count) {
            kv->counts.n_query    += 1;
            kv->counts.n_visible  += n_visible;
            kv->counts.n_attended += std::min<int64_t>(n_visible, params.top_k);
        }
    }
    if (wanted) {
        ggml_backend_tensor_set(always, data.data(), 0, data.size()*sizeof(int32_t));
    }
}

bool llm_graph_input_ann::can_reuse(const llm_graph_params & params) {
    mctx = static_cast<const llama_kv_cache_ann_context *>(params.mctx);
    // the shapes follow from the ubatch and from n_kv, which other inputs compare
    return generation == mctx->get_cache()->get_generation() && ready == ann_ready(*mctx->get_cache()) &&
        sparse == ann_is_sparse(*mctx, params.ubatch, params.cparams) &&
        (ranges != nullptr) == (ann_may_have_ranges(mctx, params.ubatch, params.cparams, params.hparams) && ann_find_ranges(mctx, params.ubatch, nullptr));
}

namespace {

llm_graph_input_ann * ann_input(const llm_graph_context & g, const llama_kv_cache_ann_context * mctx) {
    if (g.ann.inp) {
        return g.ann.inp;
    }
    const auto * kv = mctx->get_cache();
    const auto & params = kv->get_params();
    auto inp = std::make_unique<llm_graph_input_ann>(mctx);
    inp->sparse = ann_is_sparse(*mctx, g.ubatch, g.cparams);
    inp->ready  = ann_ready(*kv);
    if (kv->get_model().n_rot > 0) {
        inp->pos = ggml_new_tensor_1d(g.ctx0, GGML_TYPE_I32, g.n_tokens);
        ggml_set_input(inp->pos);
        ggml_set_name(inp->pos, "ann_inp_pos");
    }
    const int64_t n_always = params.n_sink + params.n_window;
    const int64_t n_stream = g.cparams.kv_unified ? 1 : g.ubatch.n_seqs_unq;
    if (ann_may_have_ranges(mctx, g.ubatch, g.cparams, g.hparams) && ann_find_ranges(mctx, g.ubatch, nullptr)) {
        inp->ranges = ggml_new_tensor_4d(g.ctx0, GGML_TYPE_I32, 2, g.n_tokens/n_stream, 1, n_stream);
        ggml_set_input(inp->ranges);
        ggml_set_name(inp->ranges, "ann_inp_ranges");
    }
    if (n_always > 0 && (inp->sparse || params.measure)) {
        inp->always = ggml_new_tensor_4d(g.ctx0, GGML_TYPE_I32, n_always, g.n_tokens/n_stream, 1, n_stream);
        ggml_set_input(inp->always);
        ggml_set_name(inp->always, "ann_inp_always");
    }
    g.ann.inp = static_cast<llm_graph_input_ann *>(g.res->add_input(std::move(inp)));
    return g.ann.inp;
}

// [n_embd_search, 1, n_tokens], rotated where the file says so
ggml_tensor * ann_project(const llm_graph_context & g, const llama_ann_model & m, ggml_tensor * w, ggml_tensor * cur, ggml_tensor * pos) {
    ggml_tensor * x = g.build_lora_mm(w, cur);
    x = ggml_reshape_3d(g.ctx0, x, m.n_embd_search, 1, g.n_tokens);
    if (m.n_rot > 0) {
        x = ggml_rope_ext(g.ctx0, x, pos, nullptr, m.n_rot, GGML_ROPE_TYPE_NEOX, 0, m.freq_base, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
    }
    return x;
}

// Full attention on the CPU: our op is several times faster at depth than upstream's
// (docs/notes/2026-11-25-cpu-kernels.md). A context with search off has another cache and never comes here.
bool ann_use_dense_op(const ggml_tensor * k) { return ggml_backend_buffer_is_host(k->view_src->buffer); }

// t is computed where its large operand lies, so that only rows and lists of cells travel between devices. The scheduler
// would go by t's neighbours, and copy a whole cache for it. What that device cannot compute is left to it (and was warned
// of: llama-ann-fallback.cpp).
void ann_place(const llm_graph_context & g, ggml_tensor * t, const ggml_tensor * operand) {
    const ggml_backend_buffer_t buffer = operand->view_src ? operand->view_src->buffer : operand->buffer;
    if (ggml_backend_buffer_is_host(buffer)) {
        ggml_backend_sched_set_tensor_backend(g.sched, t, g.backend_cpu);
        return;
    }
    ggml_backend_dev_t dev = ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer));
    for (int i = 0; i < ggml_backend_sched_get_n_backends(g.sched); ++i) {
        ggml_backend_t backend = ggml_backend_sched_get_backend(g.sched, i);
        if (ggml_backend_get_device(backend) == dev && ggml_backend_supports_op(backend, t)) {
            ggml_backend_sched_set_tensor_backend(g.sched, t, backend);
            return;
        }
    }
}

// What attention will be built with; null: this architecture makes it later.
const llm_graph_input_attn_kv * ann_attn_input(const llm_graph_context & g) {
    for (const auto & inp : g.res->inputs) {
        if (const auto * res = dynamic_cast<const llm_graph_input_attn_kv *>(inp.get())) {
            return res;
        }
    }
    return nullptr;
}

// The search keys of a dense graph's layers are read by nothing in it. Those of few tokens are stored one behind the other:
// a GPU then projects and stores them all at once (ggml-cuda/ann-fuse.cu). Layers wait for the next one on their device.
void ann_store_key(const llm_graph_context & g, const llama_kv_cache_ann_context * mctx, ggml_tensor * k, ggml_tensor * idxs, int il) {
    constexpr int64_t MAX_TOKENS = 16; // more: what the layers' inputs take is not worth it
    const auto * kv = mctx->get_cache();
    g.ann.stores.push_back(mctx->get_twin()->cpy_k(g.ctx0, k, idxs, il));
    if (!g.ann.inp->sparse && !kv->get_params().measure && g.n_tokens <= MAX_TOKENS) {
        for (int next = il + 1; next < (int) g.n_layer; ++next) {
            if (kv->get_model().has_search(next)) {
                if (kv->is_hooked(next) && kv->get_twin()->get_k_storage(next)->buffer == kv->get_twin()->get_k_storage(il)->buffer) {
                    return; // it will come here
                }
                break;
            }
        }
    }
    for (ggml_tensor * store : g.ann.stores) {
        ggml_build_forward_expand(g.gf, store);
    }
    g.ann.stores.clear();
}

// [n_embd_search, n_tokens/n_stream, 1, n_stream]
ggml_tensor * ann_query(const llm_graph_context & g, const ggml_tensor * keys, ggml_tensor * q) {
    return ggml_reshape_4d(g.ctx0, q, keys->ne[0], g.n_tokens/keys->ne[3], 1, keys->ne[3]);
}

// [n_embd_search, n_kv, 1, n_stream]
ggml_tensor * ann_keys(const llm_graph_context & g, const llama_kv_cache_ann_context * mctx, int il) {
    return ggml_permute(g.ctx0, mctx->get_twin()->get_k(g.ctx0, il), 0, 2, 1, 3);
}

// exact, or by the index; depends on shapes, n_kv, parameters and the index's readiness only, as a reused graph must
ggml_tensor * ann_search(const llm_graph_context & g, const llama_kv_cache_ann_context * mctx, ggml_tensor * q, ggml_tensor * k,
        ggml_tensor * mask, int il) {
    const auto & params = mctx->get_cache()->get_params();
    ggml_tensor * shown = g.ann.inp->ranges ? g.ann.inp->ranges : mask;
    ggml_tensor * res   = nullptr;
    const bool wanted = params.mode == LLAMA_ANN_MODE_HNSW && k->ne[1] >= params.index_min_context;
    auto * index = wanted && mctx->get_cache()->get_index()->has_layer(il) ? mctx->get_cache()->get_index() : nullptr;
    const bool few = q->ne[1] <= llama_ann_index::max_queries;
    if (index && few && g.ann.inp->ready[(size_t) il]) {
        if (!g.ann.visible) {
            g.ann.visible = llama_ann_index::build_visible(g.ctx0, shown, k->ne[1]);
            g.cb(g.ann.visible, LLAMA_ANN_NODE_VISIBLE, il);
            ann_place(g, g.ann.visible, k);
        }
        res = index->build_search(g.ctx0, q, k, g.ann.visible, g.ann.inp->always, params.top_k, il);
    } else if (ggml_tensor * insert = index ? index->build_insert(g.ctx0, q->ne[1], il) : nullptr) {
        g.cb(insert, LLAMA_ANN_NODE_INSERT, il);
        ann_place(g, insert, k);
        ggml_build_forward_expand(g.gf, insert);
    }
    res = res ? res : ggml_ann_topk(g.ctx0, q, k, shown, g.ann.inp->always, params.top_k);
    g.cb(res, LLAMA_ANN_NODE_TOPK, il);
    ann_place(g, res, k);
    return res;
}

} // namespace

void llama_ann_build_search(const llm_graph_context & g, const llama_layer & layer, ggml_tensor * cur, int il) {
    const auto * mctx = ann_context(g);
    if (!mctx) {
        return;
    }
    const auto * kv = mctx->get_cache();
    const auto & m  = kv->get_model();
    auto * inp = ann_input(g, mctx);
    if (!m.has_search(il)) {
        return;
    }

    llama_ann_graph::vectors res;
    res.k = ann_project(g, m, layer.indexer_attn_k, cur, inp->pos);
    if (m.metric == LLAMA_ANN_METRIC_COSINE) {
        res.k = ggml_l2_norm(g.ctx0, res.k, 1e-12f); // of the query only the direction matters
    }
    g.cb(res.k, "ann_k", il);
    if (kv->is_searched(il) && (inp->sparse || kv->get_params().measure)) {
        res.q = ann_project(g, m, layer.indexer_proj, cur, inp->pos);
        g.cb(res.q, "ann_q", il);
    }
    // Where a cache is on the host, nodes come in an order that changes the device twice a layer, not for each of them.
    const bool keys_on_host = ggml_backend_buffer_is_host(kv->get_twin()->get_k_storage(il)->buffer);
    const bool kv_on_host   = ggml_backend_buffer_is_host(kv->get_k_storage(il)->buffer);
    if (keys_on_host) {
        ggml_build_forward_expand(g.gf, res.k);
        if (res.q) {
            ggml_build_forward_expand(g.gf, res.q);
        }
    } else if (const auto * attn = kv_on_host ? ann_attn_input(g) : nullptr) {
        ann_store_key(g, mctx, res.k, attn->get_k_idxs(), il);
        res.is_stored = true;
        if (res.q && kv->get_params().selector == LLAMA_ANN_SELECTOR_LEARNED && kv->get_params().n_frozen == 0) {
            ggml_tensor * keys = ann_keys(g, mctx, il);
            res.candidates = ann_search(g, mctx, ann_query(g, keys, res.q), keys, attn->get_kq_mask(), il);
            ggml_build_forward_expand(g.gf, res.candidates);
        }
    }
    g.ann.layers[il] = res;
}

ggml_tensor * llama_ann_build_attn(
        const llm_graph_context & g,
        llm_graph_input_attn_kv * inp,
        ggml_tensor * q,
        ggml_tensor * k,
        ggml_tensor * v,
        ggml_tensor * kq_b,
        ggml_tensor * sinks,
        float         kq_scale,
        int           il) {
    const auto * mctx = ann_context(g);
    const auto vectors = g.ann.layers.find(il);
    if (!mctx || !g.ann.inp) {
        return nullptr;
    }
    if (kq_b) {
        throw std::runtime_error("ANN attention does not work for this architecture: its attention logits are biased");
    }
    const auto * kv = mctx->get_cache();
    const auto & params = kv->get_params();
    ggml_context * ctx0 = g.ctx0;

    const bool searched = vectors != g.ann.layers.end() && vectors->second.q;
    if (vectors != g.ann.layers.end()) {
        if (!vectors->second.is_stored) {
            ann_store_key(g, mctx, vectors->second.k, inp->get_k_idxs(), il);
        }
        kv->mark_hooked(il);
    }

    // a layer on the CPU may attend to all cells of a prompt on a GPU, as upstream's would
    const bool may_move = g.cparams.offload_kqv && ann_use_dense_op(k);
    auto mask_of_layer = [&, k = k]() {
        if (!g.ann.inp->ranges) {
            return inp->get_kq_mask();
        }
        ggml_tensor *& res = g.ann.masks[ggml_backend_buffer_get_type(k->view_src->buffer)];
        if (!res) {
            res = ggml_ann_mask(ctx0, g.ann.inp->ranges, inp->get_kq_mask()->type, inp->get_kq_mask()->ne[0]);
            g.cb(res, "ann_mask", il);
            if (!may_move) {
                ann_place(g, res, k);
            }
        }
        return res;
    };
    // attention of upstream's, if anything has to be replaced in it
    auto attend_densely = [&, q = q, k = k, v = v]() {
        return g.ann.inp->ranges ? g.build_attn_mha(q, k, v, kq_b, mask_of_layer(), sinks, nullptr, 0, kq_scale, il) : nullptr;
    };

    // as build_attn_mha: tokens of a stream lie together
    const int64_t n_stream = k->ne[3];
    q = ggml_view_4d(ctx0, q, q->ne[0], q->ne[1], q->ne[2]/n_stream, n_stream, q->nb[1], q->nb[2], q->nb[3]/n_stream, 0);
    q = ggml_permute(ctx0, q, 0, 2, 1, 3);
    k = ggml_permute(ctx0, k, 0, 2, 1, 3);
    v = ggml_permute(ctx0, v, 0, 2, 1, 3);

    const float softcap = g.hparams.attn_soft_cap ? g.hparams.f_attn_logit_softcapping : 0.0f;

    auto attend = [&](ggml_tensor * candidates) {
        ggml_tensor * cur = ggml_ann_attn(ctx0, q, k, v, candidates, candidates ? nullptr : mask_of_layer(), sinks, kq_scale, softcap);
        g.cb(cur, LLAMA_ANN_NODE_ATTN, il);
        if (candidates || !may_move) {
            ann_place(g, cur, k);
        }
        cur = ggml_reshape_2d(ctx0, cur, cur->ne[0]*cur->ne[1], cur->ne[2]*cur->ne[3]);
        ggml_build_forward_expand(g.gf, cur);
        return cur;
    };

    if (!searched) {
        return ann_use_dense_op(k) ? attend(nullptr) : attend_densely();
    }

    ggml_tensor * candidates = vectors->second.candidates;
    ggml_tensor * k_search   = ann_keys(g, mctx, il);
    ggml_tensor * q_search   = ann_query(g, k_search, vectors->second.q);
    auto select = [&](ggml_tensor * by_q, ggml_tensor * by_k, ggml_ann_selector selector, int32_t seed) {
        candidates = ggml_ann_select(ctx0, by_q, by_k, mask_of_layer(), g.ann.inp->always, params.top_k, selector, seed, params.n_frozen);
        g.cb(candidates, LLAMA_ANN_NODE_TOPK, il);
        ann_place(g, candidates, by_k);
    };
    if (params.selector != LLAMA_ANN_SELECTOR_LEARNED) {
        select(q, k, (ggml_ann_selector) (params.selector - 1), params.seed + il);
    } else if (params.n_frozen > 0) {
        select(q_search, k_search, GGML_ANN_SELECTOR_DOT, 0);
    } else if (!candidates) {
        candidates = ann_search(g, mctx, q_search, k_search, inp->get_kq_mask(), il);
    }

    if (params.measure) {
        ggml_tensor * measure = ggml_ann_measure(ctx0, q, k, candidates, mask_of_layer(), params.top_k, kq_scale, softcap);
        g.cb(measure, LLAMA_ANN_NODE_MEASURE, il);
        ann_place(g, measure, k);
        ggml_build_forward_expand(g.gf, measure);
    }
    if (g.ann.inp->sparse) {
        return attend(candidates);
    }
    return ann_use_dense_op(k) ? attend(nullptr) : attend_densely(); // measured only
}
