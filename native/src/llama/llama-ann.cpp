#include "llama-ann.h"

#include "llama-ann-fallback.h"
#include "llama-context.h"
#include "llama-ext.h"
#include "llama-impl.h"
#include "llama-kv-cache-ann.h"
#include "llama-model.h"

#include "ggml-cpp.h"
#include "gguf.h"

#include <cmath>
#include <fstream>
#include <stdexcept>

namespace {

// Hands the parameters through llama_init_from_model, whose parameter struct stays upstream's; the constructor runs on
// the caller's thread.
struct ann_request {
    const llama_ann_params * params;
    ggml_type                type_search;
    llama_ann_search_memory  memory;
};
thread_local const ann_request * ann_pending = nullptr;

struct ann_pending_scope {
    explicit ann_pending_scope(const ann_request * request) { ann_pending = request; }
    ~ann_pending_scope() { ann_pending = nullptr; }
};

llama_kv_cache_ann * ann_cache(const llama_context * ctx) {
    return dynamic_cast<llama_kv_cache_ann *>(llama_get_memory(ctx));
}

// The device that holds a cache's rows of a layer; nullptr: main memory.
ggml_backend_dev_t ann_device(const llama_kv_cache & kv, int32_t il) {
    const ggml_backend_buffer_t buffer = kv.get_k_storage(il)->buffer;
    return ggml_backend_buffer_is_host(buffer) ? nullptr : ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer));
}

// One warning when a layer is searched or attended to on the CPU though a GPU holds its search keys, or its K and V: that
// works, slowly.
void warn_of_fallback(const llama_context * ctx, const llama_kv_cache_ann & kv) {
    const llama_model & model = ctx->get_model();
    auto supports = [](ggml_backend_dev_t dev) -> std::function<bool(const ggml_tensor *)> {
        return dev ? [dev](const ggml_tensor * op) { return ggml_backend_dev_supports_op(dev, op); } : std::function<bool(const ggml_tensor *)>();
    };
    for (int32_t il : model.ann.layers) {
        ggml_backend_dev_t kv_dev = ann_device(kv, il), search_dev = ann_device(*kv.get_twin(), il);
        if (!kv.is_searched(il)) {
            continue;
        }
        const std::string what = llama_ann_describe_fallback(model, kv.get_params(), il, kv.type_k(), kv.type_v(), kv.get_twin()->type_k(),
            supports(kv_dev), supports(search_dev));
        if (!what.empty()) {
            LLAMA_LOG_WARN("%s: of layer %d, K and V are on %s and search keys on %s, but this is computed on the CPU, with copies for every token: %s\n",
                __func__, il, kv_dev ? ggml_backend_dev_name(kv_dev) : "the host", search_dev ? ggml_backend_dev_name(search_dev) : "the host", what.c_str());
            return;
        }
    }
}

// What search keys apart from K and V mean, once a context.
void tell_of_places(const llama_context * ctx, const llama_kv_cache_ann & kv) {
    for (int32_t il : ctx->get_model().ann.layers) {
        ggml_backend_dev_t kv_dev = ann_device(kv, il), search_dev = ann_device(*kv.get_twin(), il);
        if (kv_dev && !search_dev) {
            LLAMA_LOG_INFO("%s: search keys are on the host, K and V on %s: the CPU searches, prompts too\n", __func__, ggml_backend_dev_name(kv_dev));
            return;
        }
        if (search_dev && !kv_dev) {
            LLAMA_LOG_INFO("%s: search keys are on %s, K and V on the host: the CPU attends\n", __func__, ggml_backend_dev_name(search_dev));
            return;
        }
    }
}

} // namespace

llama_memory_i * llama_ann_create_memory(const llama_model & model, const llama_memory_params & params, const llama_cparams & cparams) {
    if (!ann_pending || model.ann.layers.empty()) {
        return nullptr;
    }
    return new llama_kv_cache_ann(model, params, cparams, *ann_pending->params, ann_pending->type_search, ann_pending->memory);
}

bool llama_ann_search_on_host(const llama_ann_params & params, llama_ann_search_memory memory, bool offload_kqv) {
    if (memory != LLAMA_ANN_SEARCH_MEMORY_AUTO) {
        return memory == LLAMA_ANN_SEARCH_MEMORY_HOST;
    }
    return !offload_kqv || (params.mode == LLAMA_ANN_MODE_HNSW && !params.index_auto); // an index that was asked for needs them there
}

llama_context * llama_ann_init_from_model(llama_model * model, llama_context_params cparams, const llama_ann_params & params, ggml_type type_search,
        llama_ann_search_memory memory) {
    const ann_request request = { &params, type_search, memory };
    llama_context * ctx = nullptr;
    {
        ann_pending_scope scope(&request);
        ctx = llama_init_from_model(model, cparams);
    }
    if (!ctx) {
        return nullptr;
    }
    const auto * kv = ann_cache(ctx);
    for (int32_t il : model->ann.layers) {
        if (!kv || !kv->is_hooked(il)) {
            const std::string arch = model->arch_name();
            llama_free(ctx);
            throw std::runtime_error(format("ANN attention does not work for architecture %s: layer %d does not use the shared attention",
                arch.c_str(), il));
        }
    }
    if (kv) {
        tell_of_places(ctx, *kv);
        warn_of_fallback(ctx, *kv);
    }
    return ctx;
}

const llama_ann_model & llama_ann_get_model(const llama_model * model) {
    return model->ann;
}

ggml_backend_dev_t llama_ann_first_gpu(const llama_model * model) {
    for (int32_t il = 0; il < llama_model_n_layer(model); ++il) {
        ggml_backend_dev_t dev = model->dev_layer(il);
        if (dev && ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU) {
            return dev;
        }
    }
    return nullptr;
}

// The tensor as the file holds it; empty when it is in another file of a split model, or the file cannot be read.
static std::vector<uint8_t> tensor_of_file(const char * file, const ggml_tensor * t) {
    const gguf_context_ptr gguf(gguf_init_from_file(file, { /*.no_alloc =*/ true, /*.ctx =*/ nullptr }));
    const int64_t id = gguf ? gguf_find_tensor(gguf.get(), t->name) : -1;
    if (id < 0) {
        return {};
    }
    std::ifstream in(file, std::ios::binary);
    in.seekg((std::streamoff) (gguf_get_data_offset(gguf.get()) + gguf_get_tensor_offset(gguf.get(), id)));
    std::vector<uint8_t> res(ggml_nbytes(t));
    in.read((char *) res.data(), (std::streamsize) res.size());
    return in ? res : std::vector<uint8_t>();
}

// Weights that the CPU keeps in a layout of its own (repacked blocks, AMX tiles) cannot be read back.
static bool is_readable(const ggml_tensor * t) {
    const ggml_backend_dev_t dev = ggml_backend_buft_get_device(ggml_backend_buffer_get_type(t->buffer));
    return ggml_backend_buffer_is_host(t->buffer) || (dev && ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU);
}

static std::vector<uint8_t> bytes_of(const ggml_tensor * t, const char * file) {
    if (!is_readable(t)) {
        return tensor_of_file(file, t);
    }
    std::vector<uint8_t> res(ggml_nbytes(t));
    ggml_backend_tensor_get(t, res.data(), 0, res.size());
    return res;
}

void llama_ann_check_values(const llama_model * model, const char * file) {
    for (int32_t il : model->ann.layers) {
        for (const ggml_tensor * t : { model->layers[il].indexer_proj, model->layers[il].indexer_attn_k }) {
            const std::vector<uint8_t> raw = bytes_of(t, file);
            if (raw.empty()) {
                continue;
            }
            std::vector<float> values(ggml_nelements(t));
            if (t->type == GGML_TYPE_F32) {
                std::memcpy(values.data(), raw.data(), raw.size());
            } else {
                ggml_get_type_traits(t->type)->to_float(raw.data(), values.data(), (int64_t) values.size());
            }
            for (size_t i = 0; i < values.size(); ++i) {
                if (!std::isfinite(values[i])) {
                    throw std::runtime_error(format("tensor %s holds %g at element %zu, expected finite values", t->name, values[i], i));
                }
            }
        }
    }
}

const llama_ann_params * llama_ann_get_params(const llama_context * ctx) {
    const auto * kv = ann_cache(ctx);
    return kv ? &kv->get_params() : nullptr;
}

bool llama_ann_set_params(llama_context * ctx, const llama_ann_params & params) {
    auto * kv = ann_cache(ctx);
    if (kv) {
        kv->set_params(params);
        warn_of_fallback(ctx, *kv);
    }
    return kv != nullptr;
}

llama_ann_index_stats llama_ann_get_index_stats(const llama_context * ctx, int32_t il) {
    const auto * kv = ann_cache(ctx);
    return kv && kv->get_index() ? kv->get_index()->stats(il) : llama_ann_index_stats();
}

void llama_ann_idle(llama_context * ctx) {
    auto * kv = ann_cache(ctx);
    if (kv && kv->get_index()) {
        kv->get_index()->take_offers();
        if (kv->get_params().mode == LLAMA_ANN_MODE_HNSW) {
            kv->get_index()->idle();
        }
    }
}

bool llama_ann_index_has_failed(const llama_context * ctx) {
    const auto * kv = ann_cache(ctx);
    return kv && kv->get_index() && kv->get_index()->has_failed();
}

llama_ann_counts llama_ann_get_counts(const llama_context * ctx) {
    const auto * kv = ann_cache(ctx);
    return kv ? kv->counts : llama_ann_counts();
}

void llama_ann_reset_counts(llama_context * ctx) {
    if (const auto * kv = ann_cache(ctx)) {
        kv->counts = {};
        if (kv->get_index()) {
            kv->get_index()->reset_stats();
        }
    }
}

llama_ann_memory llama_ann_get_memory(const llama_context * ctx) {
    llama_ann_memory res;
    const auto * kv = dynamic_cast<llama_kv_cache *>(llama_get_memory(ctx));
    if (!kv) {
        return res;
    }
    const auto & hparams = ctx->get_model().hparams;
    for (uint32_t il : kv->get_layer_ids()) {
        const ggml_tensor * k = kv->get_k_storage((int32_t) il);
        res.k_bytes += ggml_nbytes(k);
        res.v_bytes += ggml_row_size(kv->type_v(), hparams.n_embd_v_gqa(il))*k->ne[1]*k->ne[2];
    }
    if (const auto * ann = ann_cache(ctx)) {
        for (uint32_t il : ann->get_twin()->get_layer_ids()) {
            res.search_bytes += ggml_nbytes(ann->get_twin()->get_k_storage((int32_t) il));
        }
        res.index_bytes = ann->get_index() ? ann->get_index()->memory_bytes() : 0;
    }
    return res;
}

llama_ann_memory llama_ann_estimate(const llama_model * model, ggml_type type_k, ggml_type type_v, ggml_type type_search,
        uint64_t n_cells, bool search) {
    llama_ann_memory res;
    const auto & hparams = model->hparams;
    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        if (hparams.has_kv(il)) {
            res.k_bytes += ggml_row_size(type_k, hparams.n_embd_k_gqa(il))*n_cells;
            res.v_bytes += ggml_row_size(type_v, hparams.n_embd_v_gqa(il))*n_cells;
        }
    }
    if (search) {
        res.search_bytes = ggml_row_size(type_search, model->ann.n_embd_search)*n_cells*model->ann.layers.size();
    }
    return res;
}

size_t llama_ann_compute_bytes(const llama_context * ctx) {
    size_t res = 0;
    for (const auto & [buft, data] : llama_get_memory_breakdown(ctx)) {
        res += data.compute;
    }
    return res;
}

void llama_ann_head_sizes(const llama_model * model, int32_t * n_embd_head_k, int32_t * n_embd_head_v) {
    *n_embd_head_k = (int32_t) model->hparams.n_embd_head_k();
    *n_embd_head_v = (int32_t) model->hparams.n_embd_head_v();
}

bool llama_ann_can_shift(const llama_model * model) {
    return model->arch != LLM_ARCH_STEP35 && model->hparams.n_pos_per_embd() == 1; // as llama_kv_cache::get_can_shift
}

void llama_ann_set_eval_callback(llama_context * ctx, ggml_backend_sched_eval_callback callback, void * user_data) {
    // upstream takes the callback at creation only and installs it from its parameters with every new graph
    auto & cparams = const_cast<llama_cparams &>(ctx->get_cparams());
    cparams.cb_eval           = callback;
    cparams.cb_eval_user_data = user_data;
    ggml_backend_sched_set_eval_callback(ctx->get_sched(), callback, user_data);
}

bool llama_ann_fill_random(llama_context * ctx, uint32_t n_cells, uint64_t seed) {
    auto * kv = ann_cache(ctx);
    return kv && kv->fill_random(n_cells, seed);
}

std::vector<llama_pos> llama_ann_positions(const llama_context * ctx, llama_seq_id seq, const std::vector<int32_t> & cells) {
    std::vector<llama_pos> res;
    const auto * kv = ann_cache(ctx);
    if (!kv) {
        return res;
    }
    const auto & c = kv->get_cells(seq);
    for (int32_t j : cells) {
        if (j >= 0 && (uint32_t) j < c.size() && !c.is_empty(j) && c.seq_has(j, seq)) {
            res.push_back(c.pos_get(j));
        }
    }
    std::sort(res.begin(), res.end());
    return res;
}
