#include "llama-ann-model.h"

#include "llama-hparams.h"
#include "llama-impl.h"
#include "llama-model-loader.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

bool llama_ann_model::has_search(int32_t il) const {
    return std::binary_search(layers.begin(), layers.end(), il);
}

namespace {

// architectures whose attention is not the shared K/V-cache attention, by reason
std::string ann_unsupported(llm_arch arch, const llama_hparams & hparams) {
    if (hparams.swa_type != LLAMA_SWA_TYPE_NONE) {
        return "its attention uses a sliding window";
    }
    if (hparams.is_mla()) {
        return "its attention is multi-head latent attention (MLA)";
    }
    if (llm_arch_is_recurrent(arch) || llm_arch_is_hybrid(arch)) {
        return "it has recurrent layers";
    }
    if (!hparams.causal_attn || llm_arch_is_diffusion(arch)) {
        return "its attention is not causal";
    }
    if (hparams.f_max_alibi_bias > 0.0f || hparams.use_alibi) {
        return "its attention is biased by distance (ALiBi)";
    }
    if (hparams.n_pos_per_embd() != 1) {
        return "it has several positions per token (M-RoPE)";
    }
    if (arch == LLM_ARCH_GROK || arch == LLM_ARCH_T5) {
        return "its attention logits are transformed in a way of their own";
    }
    return "";
}

struct ann_reader {
    llama_model_loader & ml;

    template <typename T> T get(const std::string & key, T value) const {
        ml.get_key(key, value, false);
        return value;
    }

    bool has(const std::string & key) const { return gguf_find_key(ml.metadata, key.c_str()) >= 0; }

    // i32 or u32 array; absent: empty
    std::vector<int32_t> layers(const std::string & key) const {
        const int64_t id = gguf_find_key(ml.metadata, key.c_str());
        if (id < 0) {
            return {};
        }
        if (gguf_get_kv_type(ml.metadata, id) != GGUF_TYPE_ARRAY ||
                (gguf_get_arr_type(ml.metadata, id) != GGUF_TYPE_INT32 && gguf_get_arr_type(ml.metadata, id) != GGUF_TYPE_UINT32)) {
            throw std::runtime_error(format("key %s must be an array of 32-bit integers", key.c_str()));
        }
        const int32_t * data = (const int32_t *) gguf_get_arr_data(ml.metadata, id);
        std::vector<int32_t> res(data, data + gguf_get_arr_n(ml.metadata, id));
        std::sort(res.begin(), res.end());
        return res;
    }
};

std::string ann_shape(const ggml_tensor * t) {
    return format("[%lld, %lld]", (long long) t->ne[0], (long long) t->ne[1]);
}

void ann_check_tensor(const ggml_tensor * t, int64_t n_embd, int64_t n_embd_search) {
    if (t->ne[0] == n_embd && t->ne[1] == n_embd_search && t->ne[2] == 1 && t->ne[3] == 1) {
        return;
    }
    const bool transposed = t->ne[0] == n_embd_search && t->ne[1] == n_embd;
    throw std::runtime_error(format("tensor %s has shape %s, expected [%lld, %lld] (n_embd, d_search)%s", t->name,
        ann_shape(t).c_str(), (long long) n_embd, (long long) n_embd_search, transposed ? ": the projection is transposed" : ""));
}

std::string ann_list(const std::vector<int32_t> & v) {
    std::string res;
    for (int32_t x : v) {
        res += (res.empty() ? "" : ", ") + std::to_string(x);
    }
    return "[" + res + "]";
}

// which layers have both projections; one of a pair alone is an error
std::vector<int32_t> ann_find_layers(const llama_model_loader & ml, llm_arch arch, uint32_t n_layer, llm_tensor q, llm_tensor k) {
    const LLM_TN tn(arch);
    std::vector<int32_t> res;
    for (uint32_t il = 0; il < n_layer; ++il) {
        const std::string name_q = tn(q, "weight", (int) il);
        const std::string name_k = tn(k, "weight", (int) il);
        const bool has_q = ml.get_tensor_meta(name_q.c_str()) != nullptr;
        const bool has_k = ml.get_tensor_meta(name_k.c_str()) != nullptr;
        if (has_q != has_k) {
            throw std::runtime_error(format("tensor %s is missing: layer %u has only %s of the two search projections",
                (has_q ? name_k : name_q).c_str(), il, (has_q ? name_q : name_k).c_str()));
        }
        if (has_q) {
            res.push_back((int32_t) il);
        }
    }
    return res;
}

void ann_check_range(const std::string & key, int64_t value, int64_t min, int64_t max) {
    if (value < min || value > max) {
        throw std::runtime_error(format("key %s is %lld, expected %lld to %lld", key.c_str(), (long long) value, (long long) min, (long long) max));
    }
}

} // namespace

llama_ann_model llama_ann_load_hparams(llama_model_loader & ml, llm_arch arch, const llama_hparams & hparams) {
    llama_ann_model res;
    if (hparams.indexer_head_size > 0) {
        return res; // the architecture's own indexer
    }

    const ann_reader r { ml };
    const std::string prefix = format("%s.attention.indexer.", llm_arch_name(arch));
    const std::vector<int32_t> listed = r.layers("ann_sparse.layers");

    res.layers = ann_find_layers(ml, arch, hparams.n_layer_all, res.tensor_q, res.tensor_k);
    if (res.layers.empty()) {
        res.tensor_q = LLM_TENSOR_INDEXER_Q_PROJ;
        res.tensor_k = LLM_TENSOR_INDEXER_K_PROJ;
        res.layers = ann_find_layers(ml, arch, hparams.n_layer_all, res.tensor_q, res.tensor_k);
    }
    if (!listed.empty() && listed != res.layers) {
        throw std::runtime_error(format("key ann_sparse.layers lists layers %s, but the file has search projections for layers %s",
            ann_list(listed).c_str(), ann_list(res.layers).c_str()));
    }
    if (res.layers.empty()) {
        return res; // an ordinary model; key_length without tensors is what upstream's saver writes
    }

    const std::string why = ann_unsupported(arch, hparams);
    if (!why.empty()) {
        throw std::runtime_error(format("the file has search projections, but ANN attention does not work for architecture %s: %s",
            llm_arch_name(arch), why.c_str()));
    }

    const LLM_TN tn(arch);
    const uint32_t d = r.get<uint32_t>(prefix + "key_length", 0);
    if (d == 0 || d % 32 != 0 || d > 1024) {
        throw std::runtime_error(format("key %skey_length (d_search) is %u, expected a multiple of 32 from 32 to 1024", prefix.c_str(), d));
    }
    for (int32_t il : res.layers) {
        ann_check_tensor(ml.get_tensor_meta(std::string(tn(res.tensor_q, "weight", il)).c_str()), hparams.n_embd, d);
        ann_check_tensor(ml.get_tensor_meta(std::string(tn(res.tensor_k, "weight", il)).c_str()), hparams.n_embd, d);
    }
    res.n_embd_search = d;

    ann_check_range(prefix + "head_count", r.get<uint32_t>(prefix + "head_count", 1), 1, 1);
    const uint32_t top_k = r.get<uint32_t>(prefix + "top_k", 0);
    ann_check_range(prefix + "top_k", top_k, 1, 1 << 20);
    res.top_k = (int32_t) top_k;

    const std::string metric = r.get<std::string>("ann_sparse.metric", "cosine");
    if (metric != "cosine" && metric != "ip") {
        throw std::runtime_error(format("key ann_sparse.metric is \"%s\", expected \"cosine\" or \"ip\"", metric.c_str()));
    }
    res.metric = metric == "ip" ? LLAMA_ANN_METRIC_IP : LLAMA_ANN_METRIC_COSINE;

    const uint32_t n_rot = r.get<uint32_t>("ann_sparse.rope.dimension_count", 0);
    if (n_rot % 2 != 0 || n_rot > d) {
        throw std::runtime_error(format("key ann_sparse.rope.dimension_count is %u, expected an even number from 0 to %u", n_rot, d));
    }
    res.n_rot     = (int32_t) n_rot;
    res.freq_base = r.get<float>("ann_sparse.rope.freq_base", 10000.0f);
    if (!(res.freq_base > 1.0f) || !std::isfinite(res.freq_base)) {
        throw std::runtime_error(format("key ann_sparse.rope.freq_base is %g, expected a finite number above 1", res.freq_base));
    }

    const uint32_t n_window = r.get<uint32_t>("ann_sparse.window", 0);
    const uint32_t n_sink   = r.get<uint32_t>("ann_sparse.sinks",  0);
    ann_check_range("ann_sparse.window", n_window, 0, top_k);
    ann_check_range("ann_sparse.sinks",  n_sink,   0, top_k - n_window);
    res.n_window = (int32_t) n_window;
    res.n_sink   = (int32_t) n_sink;

    res.checkpoint = r.get<std::string>("ann_sparse.checkpoint", "");
    res.config     = r.get<std::string>("ann_sparse.config", "");

    LLAMA_LOG_INFO("%s: search projections in %zu of %u layers, d_search = %u, top_k = %d, metric = %s, n_rot = %d, sinks = %d, window = %d\n",
        __func__, res.layers.size(), hparams.n_layer_all, d, res.top_k, metric.c_str(), res.n_rot, res.n_sink, res.n_window);
    return res;
}
