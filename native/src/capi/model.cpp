// Models: loading, what a file holds.

#include "objects.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>

using namespace ann;
using json = nlohmann::ordered_json;

namespace ann {

namespace {

struct progress_relay {
    ann_progress_callback callback;
    void *                user_data;
    bool                  cancelled = false;

    static bool call(float progress, void * self) {
        auto * relay = (progress_relay *) self;
        if (relay->callback && relay->callback(progress, relay->user_data) == 0) {
            relay->cancelled = true;
        }
        return !relay->cancelled;
    }
};

// upstream reports a bad file only in its log; the two most common mistakes get a sentence of their own
void check_file(const char * path) {
    std::FILE * file = std::fopen(path, "rb");
    if (!file) {
        fail(ANN_ERROR_CANNOT_LOAD, "cannot open model file %s: %s", path, std::strerror(errno));
    }
    char magic[4] = {};
    const size_t n = std::fread(magic, 1, sizeof(magic), file);
    std::fclose(file);
    if (n != sizeof(magic) || std::memcmp(magic, "GGUF", sizeof(magic)) != 0) {
        fail(ANN_ERROR_CANNOT_LOAD, "%s is not a GGUF file: it begins with %zu bytes %02x %02x %02x %02x, expected \"GGUF\"", path, n,
            (unsigned char) magic[0], (unsigned char) magic[1], (unsigned char) magic[2], (unsigned char) magic[3]);
    }
}

std::string meta(const llama_model * model, const char * key) {
    const int32_t n = llama_model_meta_val_str(model, key, nullptr, 0);
    if (n < 0) {
        return "";
    }
    std::string value((size_t) n, '\0');
    llama_model_meta_val_str(model, key, &value[0], value.size() + 1);
    return value;
}

} // namespace
} // namespace ann

void ann_model_params_default(ann_model_params * params) {
    if (params) {
        *params = {};
        params->struct_size  = sizeof(*params);
        params->n_gpu_layers = -1;
        params->split_mode   = 1;
        params->use_mmap     = 1;
    }
}

static llama_model_params make_model_params(const ann_model_params & p, progress_relay & relay) {
    require_range("params.n_gpu_layers", p.n_gpu_layers, -1, 1 << 20);
    require_range("params.split_mode", p.split_mode, 0, 1);
    require_range("params.main_gpu", p.main_gpu, 0, 255);
    llama_model_params mparams = llama_model_default_params();
    mparams.n_gpu_layers  = p.n_gpu_layers;
    mparams.main_gpu      = p.main_gpu;
    mparams.split_mode    = p.split_mode == 0 ? LLAMA_SPLIT_MODE_NONE : LLAMA_SPLIT_MODE_LAYER;
    mparams.load_mode     = p.use_mmap ? (p.use_mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_AUTO) :
                                         (p.use_mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
    mparams.check_tensors = p.check_tensors != 0;
    mparams.vocab_only    = p.vocab_only != 0;
    mparams.progress_callback           = progress_relay::call;
    mparams.progress_callback_user_data = &relay;
    return mparams;
}

ann_status ann_model_load(const char * path, const ann_model_params * params, ann_model ** model, ann_error * error) {
    return guard(error, [&] {
        require(model, "model") = nullptr;
        const std::string file = require_text(path, "path");
        ann_model_params defaults;
        ann_model_params_default(&defaults);
        const ann_model_params p = read_struct(params, defaults, "params");
        progress_relay relay { p.progress, p.progress_user_data };
        const llama_model_params mparams = make_model_params(p, relay);

        check_file(file.c_str());
        runtime_init(nullptr);

        log_scope log;
        std::shared_ptr<llama_model> loaded(llama_model_load_from_file(file.c_str(), mparams), llama_model_free);
        if (relay.cancelled) {
            fail(ANN_ERROR_CANCELLED, "loading %s was cancelled", file.c_str());
        }
        if (!loaded) {
            fail(ANN_ERROR_CANNOT_LOAD, "cannot load model %s: %s", file.c_str(), log.reason("llama.cpp gave no reason").c_str());
        }
        if (!p.vocab_only) {
            try {
                llama_ann_check_values(loaded.get(), file.c_str());
            } catch (const std::exception & e) {
                fail(ANN_ERROR_CANNOT_LOAD, "cannot load model %s: %s", file.c_str(), e.what());
            }
        }
        *model = new ann_model { std::move(loaded) };
    });
}

void ann_model_free(ann_model * model) { delete model; }

ann_status ann_model_get_info(const ann_model * model, ann_model_info * info, ann_error * error) {
    return guard(error, [&] {
        const llama_model * m = require(model, "model").model.get();
        const llama_ann_model & ann = llama_ann_get_model(m);
        ann_model_info res = {};
        res.n_layer        = llama_model_n_layer(m);
        if (res.n_layer > 0) { // a model loaded with vocab_only has no shape; upstream aborts when asked for it
            res.n_embd     = llama_model_n_embd(m);
            res.n_head     = llama_model_n_head(m);
            res.n_head_kv  = llama_model_n_head_kv(m);
            res.can_shift  = llama_ann_can_shift(m);
            llama_ann_head_sizes(m, &res.n_embd_head_k, &res.n_embd_head_v);
        }
        res.n_vocab        = llama_vocab_n_tokens(llama_model_get_vocab(m));
        res.n_ctx_train    = llama_model_n_ctx_train(m);
        res.n_layer_search = (int32_t) ann.layers.size();
        res.n_embd_search  = (int32_t) ann.n_embd_search;
        res.top_k          = ann.top_k;
        res.n_sink         = ann.n_sink;
        res.n_window       = ann.n_window;
        res.metric         = ann.metric;
        res.n_rot_search   = ann.n_rot;
        res.rope_freq_base_search = ann.n_rot > 0 ? ann.freq_base : 0.0f;
        res.n_params       = llama_model_n_params(m);
        res.size_bytes     = llama_model_size(m);
        write_struct(info, res, "info");
    });
}

ann_status ann_model_get_search_layers(const ann_model * model, int32_t * layers, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const auto & found = llama_ann_get_model(require(model, "model").model.get()).layers;
        write_items(found.data(), found.size(), layers, capacity, n_written);
    });
}

static json describe_search(const llama_model * m) {
    const llama_ann_model & ann = llama_ann_get_model(m);
    if (ann.layers.empty()) {
        return nullptr;
    }
    json reserved = json::array();
    for (int32_t il = 0; il < llama_model_n_layer(m); ++il) {
        if (!ann.has_search(il)) {
            reserved.push_back(il);
        }
    }
    return {
        { "layers", ann.layers }, { "reserved_layers", reserved }, { "d_search", ann.n_embd_search }, { "top_k", ann.top_k },
        { "sinks", ann.n_sink }, { "window", ann.n_window }, { "metric", ann.metric == LLAMA_ANN_METRIC_IP ? "ip" : "cosine" },
        { "rope_dims", ann.n_rot }, { "rope_freq_base", ann.n_rot > 0 ? json(ann.freq_base) : json(nullptr) },
        { "checkpoint", ann.checkpoint }, { "config", ann.config },
    };
}

ann_status ann_model_describe(const ann_model * model, char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const llama_model * m = require(model, "model").model.get();
        json metadata = json::object();
        for (int32_t i = 0; i < llama_model_meta_count(m); ++i) {
            const int32_t n = llama_model_meta_key_by_index(m, i, nullptr, 0);
            std::string key((size_t) std::max(n, 0), '\0');
            llama_model_meta_key_by_index(m, i, &key[0], key.size() + 1);
            metadata[key] = meta(m, key.c_str());
        }
        char description[256];
        llama_model_desc(m, description, sizeof(description));
        const llama_ann_memory per_token = llama_ann_estimate(m, GGML_TYPE_F16, GGML_TYPE_F16, GGML_TYPE_F16, 1, true);
        const json res = {
            { "description", description }, { "architecture", meta(m, "general.architecture") },
            { "n_params", llama_model_n_params(m) }, { "size_bytes", llama_model_size(m) },
            { "search", describe_search(m) },
            { "cache_bytes_per_token", { { "k", per_token.k_bytes }, { "v", per_token.v_bytes }, { "search", per_token.search_bytes } } },
            { "metadata", metadata },
        };
        write_text(res.dump(-1, ' ', false, json::error_handler_t::replace), buffer, capacity, n_written);
    });
}
