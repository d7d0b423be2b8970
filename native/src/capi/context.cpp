// Contexts: parameters, memory, search parameters, sequences.

#include "objects.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <thread>
#include <unistd.h>

using namespace ann;

void ann_search_params_default(ann_search_params * params) {
    if (params) {
        *params = {};
        params->struct_size = sizeof(*params);
        params->mode        = -1; // exact for a model with projections, else off
        params->n_sink      = -1;
        params->n_window    = -1;
        params->min_context = -1;
        params->n_layers    = -1;
        params->index_in_state = 1;
    }
}

void ann_context_params_default(ann_context_params * params) {
    if (params) {
        *params = {};
        params->struct_size     = sizeof(*params);
        params->n_batch         = 2048;
        params->n_ubatch        = 512;
        params->n_seq_max       = 1;
        params->flash_attention = -1;
        params->kv_unified      = 1;
        params->offload_kqv     = 1;
        params->check_memory    = 1;
        params->pooling         = ANN_POOLING_FILE;
        std::strcpy(params->type_k, "f16");
        std::strcpy(params->type_v, "f16");
        std::strcpy(params->type_search, "f16");
        ann_search_params_default(&params->search);
    }
}

namespace ann {

ggml_type parse_type(const char * name, const char * field, bool search) {
    static const ggml_type types[] = {
        GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0, // search keys end here
        GGML_TYPE_BF16, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
    };
    const size_t n = search ? 3 : sizeof(types)/sizeof(types[0]);
    std::string known;
    for (size_t i = 0; i < n; ++i) {
        if (std::strncmp(name, ggml_type_name(types[i]), 16) == 0) {
            return types[i];
        }
        known += (i ? ", " : "") + std::string(ggml_type_name(types[i]));
    }
    fail(ANN_ERROR_INVALID_ARGUMENT, "%s is \"%.15s\", expected one of %s", field, name, known.c_str());
}

int32_t physical_cores() {
    // hyper-threads share the vector units that this work lives on; without topology, all logical cores are taken
    std::vector<std::string> seen;
    for (int cpu = 0; ; ++cpu) {
        const std::string path = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list";
        std::FILE * f = std::fopen(path.c_str(), "r");
        if (!f) {
            break;
        }
        char line[128] = {};
        if (std::fgets(line, sizeof(line), f) && std::find(seen.begin(), seen.end(), line) == seen.end()) {
            seen.push_back(line);
        }
        std::fclose(f);
    }
    const int32_t logical = (int32_t) std::max(1u, std::thread::hardware_concurrency());
    return seen.empty() ? logical : std::min(logical, (int32_t) seen.size());
}

int32_t default_ef_search(int32_t top_k) { return std::max(320, top_k); }

namespace {

void resolve_index(const ann_search_params & p, llama_ann_params & res) {
    require_range("search.ef_search", p.ef_search, 0, 1 << 16);
    require_range("search.index_m", p.index_m, 0, 128);
    require_range("search.index_ef_construction", p.index_ef_construction, 0, 4096);
    require_range("search.index_threads", p.index_threads, 0, 64);
    require_range("search.index_min_context", p.index_min_context, 0, INT32_MAX);
    require_range("search.index_eager", p.index_eager, 0, 1);
    require_range("search.index_in_state", p.index_in_state, 0, 1);
    res.ef_search             = p.ef_search == 0 ? default_ef_search(res.top_k) : p.ef_search;
    res.index_m               = p.index_m == 0 ? 16 : p.index_m;
    res.index_ef_construction = p.index_ef_construction == 0 ? DEFAULT_EF_CONSTRUCTION : p.index_ef_construction;
    res.index_threads         = p.index_threads == 0 ? std::min(physical_cores(), 8) : p.index_threads;
    res.index_min_context     = p.index_min_context;
    res.index_eager           = p.index_eager != 0;
    res.index_in_state        = p.index_in_state != 0;
    res.index_max_bytes       = p.index_max_bytes;
    if (res.mode == LLAMA_ANN_MODE_HNSW && res.ef_search < res.top_k) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "search.ef_search is %d, expected at least search.top_k = %d", res.ef_search, res.top_k);
    }
    if (res.index_m == 1) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "search.index_m is 1, expected 0 or a number from 2 to 128");
    }
}

} // namespace

llama_ann_params resolve_search(const llama_model * model, const ann_search_params & p, ggml_type type_search, int32_t n_threads) {
    const llama_ann_model & m = llama_ann_get_model(model);
    require_range("search.mode", p.mode, ANN_SEARCH_DENSE, ANN_SEARCH_AUTO);
    require_range("search.top_k", p.top_k, 0, 1 << 20);
    require_range("search.n_sink", p.n_sink, -1, 1 << 20);
    require_range("search.n_window", p.n_window, -1, 1 << 20);
    require_range("search.prefill", p.prefill, ANN_PREFILL_SPARSE, ANN_PREFILL_DENSE);
    require_range("search.min_context", p.min_context, -1, INT32_MAX);
    require_range("search.selector", p.selector, ANN_SELECTOR_LEARNED, ANN_SELECTOR_RANDOM);
    require_range("search.n_frozen", p.n_frozen, 0, INT32_MAX);
    require_range("search.n_layers", p.n_layers, -1, (int64_t) m.layers.size());

    llama_ann_params res;
    res.mode          = p.mode == ANN_SEARCH_AUTO ? LLAMA_ANN_MODE_HNSW : (llama_ann_mode) p.mode;
    res.index_auto    = p.mode == ANN_SEARCH_AUTO;
    res.top_k         = p.top_k == 0 ? m.top_k : p.top_k;
    res.n_sink        = p.n_sink == -1 ? m.n_sink : p.n_sink;
    res.n_window      = p.n_window == -1 ? m.n_window : p.n_window;
    res.prefill_dense = p.prefill == ANN_PREFILL_DENSE;
    res.min_context   = p.min_context == -1 ? res.top_k : p.min_context;
    res.selector      = (llama_ann_selector) p.selector;
    res.seed          = p.seed;
    res.n_frozen      = p.n_frozen;
    if (res.n_sink + res.n_window > res.top_k) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "search.n_sink + search.n_window is %d + %d, expected at most search.top_k = %d, which counts them",
            res.n_sink, res.n_window, res.top_k);
    }
    resolve_index(p, res);
    if (res.index_auto && res.index_min_context == 0 && n_threads > 0) {
        res.index_min_context = calibrated_min_context(m.n_embd_search, type_search, n_threads, res.top_k, res.ef_search);
    }
    res.layers.assign((size_t) llama_model_n_layer(model), 0);
    if (p.n_layers < 0) {
        for (int32_t il : m.layers) {
            res.layers[(size_t) il] = 1;
        }
        return res;
    }
    if (p.n_layers > 0) {
        require(p.layers, "search.layers");
    }
    for (int32_t i = 0; i < p.n_layers; ++i) {
        if (!m.has_search(p.layers[i])) {
            std::string known;
            for (int32_t il : m.layers) {
                known += (known.empty() ? "" : ", ") + std::to_string(il);
            }
            fail(ANN_ERROR_INVALID_ARGUMENT, "search.layers[%d] is %d, expected a layer with search projections: %s", i, p.layers[i], known.c_str());
        }
        res.layers[(size_t) p.layers[i]] = 1;
    }
    return res;
}

namespace {

uint64_t available_memory() {
    uint64_t kb = 0;
    if (std::FILE * f = std::fopen("/proc/meminfo", "r")) {
        char line[256];
        while (std::fgets(line, sizeof(line), f)) {
            if (std::sscanf(line, "MemAvailable: %lu kB", &kb) == 1) {
                break;
            }
        }
        std::fclose(f);
    }
    return kb > 0 ? kb*1024 : (uint64_t) sysconf(_SC_PHYS_PAGES)*(uint64_t) sysconf(_SC_PAGE_SIZE);
}

struct resolved {
    ann_context_params params;
    ggml_type type_k, type_v, type_search;
    uint32_t  n_ctx;
    bool      search;
};

resolved resolve(const llama_model * model, const ann_context_params * params) {
    if (llama_model_n_layer(model) == 0) {
        fail(ANN_ERROR_UNSUPPORTED, "the model was loaded with its vocabulary only (vocab_only = 1); it cannot have a context");
    }
    ann_context_params defaults;
    ann_context_params_default(&defaults);
    resolved r { read_struct(params, defaults, "params"), GGML_TYPE_F16, GGML_TYPE_F16, GGML_TYPE_F16, 0, false };
    ann_context_params & p = r.params;
    p.search = read_struct(&p.search, defaults.search, "params.search");

    require_range("params.n_ctx", p.n_ctx, 0, INT32_MAX - 256);
    require_range("params.n_batch", p.n_batch, 1, 1 << 20);
    require_range("params.n_ubatch", p.n_ubatch, 1, 1 << 16);
    require_range("params.n_seq_max", p.n_seq_max, 1, 256);
    require_range("params.n_threads", p.n_threads, 0, 512);
    require_range("params.n_threads_batch", p.n_threads_batch, 0, 512);
    require_range("params.flash_attention", p.flash_attention, -1, 1);
    require_range("params.pooling", p.pooling, ANN_POOLING_FILE, ANN_POOLING_LAST);
    require_range("params.search_memory", p.search_memory, ANN_SEARCH_MEMORY_AUTO, ANN_SEARCH_MEMORY_HOST);
    r.type_k      = parse_type(p.type_k, "params.type_k", false);
    r.type_v      = parse_type(p.type_v, "params.type_v", false);
    r.type_search = parse_type(p.type_search, "params.type_search", true);
    if (ggml_is_quantized(r.type_v) && p.flash_attention == 0) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.type_v is %s with params.flash_attention = 0; quantised V needs flash attention", p.type_v);
    }

    const llama_ann_model & m = llama_ann_get_model(model);
    if (p.search.mode == -1) {
        p.search.mode = m.layers.empty() ? ANN_SEARCH_OFF : ANN_SEARCH_EXACT;
    }
    require_range("params.search.mode", p.search.mode, ANN_SEARCH_OFF, ANN_SEARCH_AUTO);
    r.search = p.search.mode != ANN_SEARCH_OFF;
    if (r.search && m.layers.empty()) {
        fail(ANN_ERROR_UNSUPPORTED, "params.search.mode is %d, but the model file has no search projections", p.search.mode);
    }

    p.n_threads       = p.n_threads == 0 ? physical_cores() : p.n_threads;
    p.n_threads_batch = p.n_threads_batch == 0 ? p.n_threads : p.n_threads_batch;
    r.n_ctx = GGML_PAD(p.n_ctx == 0 ? (uint32_t) llama_model_n_ctx_train(model) : p.n_ctx, 256u);
    if (!p.kv_unified) {
        r.n_ctx = GGML_PAD((r.n_ctx + p.n_seq_max - 1)/p.n_seq_max, 256u)*p.n_seq_max;
    }
    p.n_ctx = r.n_ctx;
    return r;
}

ann_context_memory estimate(const llama_model * model, const resolved & r) {
    const llama_ann_memory cache = llama_ann_estimate(model, r.type_k, r.type_v, r.type_search, r.n_ctx, r.search);
    const uint64_t n_vocab  = (uint64_t) llama_vocab_n_tokens(llama_model_get_vocab(model));
    const uint64_t n_ubatch = std::min(r.params.n_ubatch, r.params.n_batch);

    ann_context_memory res = {};
    res.n_ctx           = r.n_ctx;
    res.k_bytes         = cache.k_bytes;
    res.v_bytes         = cache.v_bytes;
    res.search_bytes    = cache.search_bytes;
    if (r.params.search.mode >= ANN_SEARCH_HNSW) {
        const int32_t m = r.params.search.index_m == 0 ? 16 : r.params.search.index_m;
        const auto & ann = llama_ann_get_model(model);
        const uint64_t bytes = llama_ann_index_bytes(r.type_search, (int32_t) ann.n_embd_search, r.n_ctx, m)*ann.layers.size();
        res.search_bytes += r.params.search.index_max_bytes == 0 ? bytes : std::min(bytes, r.params.search.index_max_bytes);
    }
    // the mask of one ubatch, its logits, and a few activations: the terms that grow
    res.compute_bytes   = n_ubatch*r.n_ctx*(r.params.flash_attention == 0 ? 4 + 4ull*llama_model_n_head(model) : 2) +
                          n_ubatch*4*(n_vocab + 16ull*llama_model_n_embd(model));
    res.model_bytes     = llama_model_size(model);
    res.total_bytes     = res.k_bytes + res.v_bytes + res.search_bytes + res.compute_bytes + res.model_bytes;
    res.available_bytes = available_memory();
    return res;
}

std::string metadata(const llama_model * model, const std::string & key) {
    char value[128] = {};
    return llama_model_meta_val_str(model, key.c_str(), value, sizeof(value)) < 0 ? "" : value;
}

bool ann_abort_callback(void * user_data) { return ((ann_context *) user_data)->abort.load(std::memory_order_relaxed); }

llama_context_params make_context_params(const resolved & r, ann_context * c) {
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx           = r.n_ctx;
    cp.n_batch         = r.params.n_batch;
    cp.n_ubatch        = r.params.n_ubatch;
    cp.n_seq_max       = r.params.n_seq_max;
    cp.n_threads       = r.params.n_threads;
    cp.n_threads_batch = r.params.n_threads_batch;
    cp.flash_attn_type = (llama_flash_attn_type) r.params.flash_attention;
    cp.type_k          = r.type_k;
    cp.type_v          = r.type_v;
    cp.embeddings      = r.params.embeddings != 0;
    // none where the file says nothing is the same as what the file says, and upstream warns of what differs
    const std::string architecture = metadata(c->model.get(), "general.architecture");
    cp.pooling_type    = r.params.pooling == ANN_POOLING_NONE && metadata(c->model.get(), architecture + ".pooling_type").empty() ?
        LLAMA_POOLING_TYPE_UNSPECIFIED : (enum llama_pooling_type) r.params.pooling;
    cp.offload_kqv     = r.params.offload_kqv != 0;
    cp.kv_unified      = r.params.kv_unified != 0;
    cp.abort_callback      = ann_abort_callback;
    cp.abort_callback_data = c;
    return cp;
}

static_assert((int) ANN_POOLING_FILE == LLAMA_POOLING_TYPE_UNSPECIFIED && (int) ANN_POOLING_NONE == LLAMA_POOLING_TYPE_NONE &&
    (int) ANN_POOLING_MEAN == LLAMA_POOLING_TYPE_MEAN && (int) ANN_POOLING_CLS == LLAMA_POOLING_TYPE_CLS &&
    (int) ANN_POOLING_LAST == LLAMA_POOLING_TYPE_LAST, "ann_pooling is cast to llama_pooling_type");

static_assert((int) ANN_SEARCH_MEMORY_AUTO == LLAMA_ANN_SEARCH_MEMORY_AUTO && (int) ANN_SEARCH_MEMORY_DEVICE == LLAMA_ANN_SEARCH_MEMORY_DEVICE &&
    (int) ANN_SEARCH_MEMORY_HOST == LLAMA_ANN_SEARCH_MEMORY_HOST, "ann_search_memory is cast to llama_ann_search_memory");

// what of embeddings can be said only of the whole context
void resolve_embeddings(ann_context & c) {
    c.causal = metadata(c.model.get(), metadata(c.model.get(), "general.architecture") + ".attention.causal") != "false";
    const enum llama_pooling_type pooling = llama_pooling_type(c.ctx);
    c.pooled = c.params.embeddings && pooling != LLAMA_POOLING_TYPE_NONE;
    if (!c.pooled) {
        return;
    }
    if (pooling == LLAMA_POOLING_TYPE_RANK) {
        fail(ANN_ERROR_UNSUPPORTED, "the model file pools a sequence to a rank, not to an embedding; choose another pooling (params.pooling)");
    }
    if (!c.params.kv_unified && c.params.n_seq_max > 1) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.kv_unified is 0 with params.n_seq_max %u and a pooling; sequences are pooled only from one stream, "
            "expected kv_unified = 1", c.params.n_seq_max);
    }
}

// Of an estimate, what has to fit into main memory.
uint64_t host_bytes(const resolved & r, const ann_context_memory & memory, const llama_ann_params & search) {
    const uint64_t rest = memory.k_bytes + memory.v_bytes + memory.compute_bytes; // the model is there already
    const bool on_host = llama_ann_search_on_host(search, (llama_ann_search_memory) r.params.search_memory, r.params.offload_kqv != 0);
    if (!llama_supports_gpu_offload()) {
        return rest + memory.search_bytes;
    }
    return (r.params.offload_kqv ? 0 : rest) + (on_host ? memory.search_bytes : 0);
}

double mib(uint64_t bytes) { return (double) bytes/1024/1024; }

} // namespace
} // namespace ann

ann_status ann_context_estimate(const ann_model * model, const ann_context_params * params, ann_context_memory * memory, ann_error * error) {
    return guard(error, [&] {
        const llama_model * m = require(model, "model").model.get();
        const resolved r = resolve(m, params);
        if (r.search) {
            resolve_search(m, r.params.search, r.type_search, 0);
        }
        write_struct(memory, estimate(m, r), "memory");
    });
}

ann_status ann_context_create(ann_model * model, const ann_context_params * params, ann_context ** context, ann_error * error) {
    return guard(error, [&] {
        require(context, "context") = nullptr;
        auto c = std::make_unique<ann_context>();
        c->model = require(model, "model").model;
        const resolved r = resolve(c->model.get(), params);
        const llama_ann_params search = r.search ? resolve_search(c->model.get(), r.params.search, r.type_search, r.params.n_threads) : llama_ann_params();

        const ann_context_memory memory = estimate(c->model.get(), r);
        const uint64_t wanted = host_bytes(r, memory, search);
        if (r.params.check_memory && wanted > memory.available_bytes) {
            fail(ANN_ERROR_OUT_OF_MEMORY, "a context of %u cells needs about %.0f MiB of main memory (K %.0f, V %.0f, search keys %.0f, compute %.0f), %.0f MiB are available; "
                "ask for fewer cells (params.n_ctx) or smaller types", memory.n_ctx, mib(wanted), mib(memory.k_bytes), mib(memory.v_bytes),
                mib(memory.search_bytes), mib(memory.compute_bytes), mib(memory.available_bytes));
        }

        log_scope log;
        const llama_context_params cp = make_context_params(r, c.get());
        try {
            c->ctx = r.search ? llama_ann_init_from_model(c->model.get(), cp, search, r.type_search, (llama_ann_search_memory) r.params.search_memory) :
                llama_init_from_model(c->model.get(), cp);
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & e) {
            fail(ANN_ERROR_UNSUPPORTED, "%s", e.what());
        }
        if (!c->ctx) {
            const std::string reason = log.reason("llama.cpp gave no reason");
            fail(reason.find("alloc") != std::string::npos ? ANN_ERROR_OUT_OF_MEMORY : ANN_ERROR_UNSUPPORTED, "cannot create the context: %s", reason.c_str());
        }
        c->params     = r.params;
        c->params.search.layers = nullptr; // the caller's array
        c->has_search = r.search;
        resolve_embeddings(*c);
        c->layers.resize((size_t) llama_model_n_layer(c->model.get()));
        *context = c.release();
    });
}

void ann_context_free(ann_context * context) { delete context; }

ann_status ann_context_get_memory(ann_context * context, ann_context_memory * memory, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        const llama_ann_memory cache = llama_ann_get_memory(c.ctx);
        ann_context_memory res = {};
        res.n_ctx        = llama_n_ctx(c.ctx);
        res.k_bytes      = cache.k_bytes;
        res.v_bytes      = cache.v_bytes;
        res.search_bytes = cache.search_bytes + cache.index_bytes;
        res.compute_bytes = llama_ann_compute_bytes(c.ctx);
        res.model_bytes  = llama_model_size(c.model.get());
        res.total_bytes  = res.k_bytes + res.v_bytes + res.search_bytes + res.compute_bytes + res.model_bytes;
        res.available_bytes = available_memory();
        write_struct(memory, res, "memory");
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// search parameters

ann_status ann_context_set_search(ann_context * context, const ann_search_params * params, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        ann_search_params defaults;
        ann_search_params_default(&defaults);
        ann_search_params p = read_struct(&require(params, "params"), defaults, "params");
        if (p.mode == -1) {
            p.mode = c.has_search ? ANN_SEARCH_EXACT : ANN_SEARCH_OFF;
        }
        if ((p.mode == ANN_SEARCH_OFF) == c.has_search) {
            fail(ANN_ERROR_UNSUPPORTED, "search.mode is %d, but the context was created %s; create another context", p.mode,
                c.has_search ? "with search keys (use dense, 1, for full attention)" : "without search keys (mode off)");
        }
        if (!c.has_search) {
            return;
        }
        llama_ann_params resolved = resolve_search(c.model.get(), p, parse_type(c.params.type_search, "type_search", true), c.params.n_threads);
        resolved.measure       = llama_ann_get_params(c.ctx)->measure;
        resolved.measure_index = llama_ann_get_params(c.ctx)->measure_index;
        resolved.count         = llama_ann_get_params(c.ctx)->count;
        try {
            llama_ann_set_params(c.ctx, resolved);
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & e) {
            fail(ANN_ERROR_UNSUPPORTED, "%s", e.what());
        }
    });
}

ann_status ann_context_get_search(ann_context * context, ann_search_params * params, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        ann_search_params res;
        ann_search_params_default(&res);
        res.mode     = ANN_SEARCH_OFF;
        res.n_layers = 0;
        if (const llama_ann_params * p = llama_ann_get_params(c.ctx)) {
            c.search_layers.clear();
            for (size_t il = 0; il < p->layers.size(); ++il) {
                if (p->layers[il]) {
                    c.search_layers.push_back((int32_t) il);
                }
            }
            res.mode        = p->mode == LLAMA_ANN_MODE_HNSW && p->index_auto ? ANN_SEARCH_AUTO : (int32_t) p->mode;
            res.top_k       = p->top_k;
            res.n_sink      = p->n_sink;
            res.n_window    = p->n_window;
            res.prefill     = p->prefill_dense ? ANN_PREFILL_DENSE : ANN_PREFILL_SPARSE;
            res.min_context = p->min_context;
            res.selector    = p->selector;
            res.seed        = p->seed;
            res.n_frozen    = p->n_frozen;
            res.ef_search             = p->ef_search;
            res.index_m               = p->index_m;
            res.index_ef_construction = p->index_ef_construction;
            res.index_threads         = p->index_threads;
            res.index_min_context     = p->index_min_context;
            res.index_eager           = p->index_eager;
            res.index_in_state        = p->index_in_state;
            res.index_max_bytes       = p->index_max_bytes;
            res.n_layers    = (int32_t) c.search_layers.size();
            res.layers      = c.search_layers.data();
        }
        write_struct(params, res, "params");
    });
}

ann_status ann_context_set_threads(ann_context * context, int32_t n_threads, int32_t n_threads_batch, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("n_threads", n_threads, 1, 512);
        require_range("n_threads_batch", n_threads_batch, 1, 512);
        llama_set_n_threads(c.ctx, n_threads, n_threads_batch);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// sequences

static llama_memory_t memory_of(const ann_context & c) {
    llama_memory_t memory = llama_get_memory(c.ctx);
    if (!memory) {
        fail(ANN_ERROR_UNSUPPORTED, "the model keeps no cache");
    }
    return memory;
}

static void require_seq(const ann_context & c, const char * name, int32_t seq, int32_t min = 0) {
    require_range(name, seq, min, (int64_t) c.params.n_seq_max - 1);
}

ann_status ann_context_clear(ann_context * context, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) { llama_memory_clear(memory_of(c), true); });
}

ann_status ann_context_seq_rm(ann_context * context, int32_t seq, int32_t p0, int32_t p1, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq", seq, -1);
        if (!llama_memory_seq_rm(memory_of(c), seq, p0, p1)) {
            fail(ANN_ERROR_UNSUPPORTED, "this model's memory cannot remove positions %d to %d of sequence %d", p0, p1, seq);
        }
    });
}

ann_status ann_context_seq_cp(ann_context * context, int32_t seq_src, int32_t seq_dst, int32_t p0, int32_t p1, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq_src", seq_src);
        require_seq(c, "seq_dst", seq_dst);
        if (!c.params.kv_unified && seq_src != seq_dst && (p0 > 0 || p1 >= 0)) {
            fail(ANN_ERROR_UNSUPPORTED, "positions %d to %d: with one stream per sequence (kv_unified = 0) only whole sequences can be copied", p0, p1);
        }
        llama_memory_seq_cp(memory_of(c), seq_src, seq_dst, p0, p1);
    });
}

ann_status ann_context_seq_keep(ann_context * context, int32_t seq, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq", seq);
        llama_memory_seq_keep(memory_of(c), seq);
    });
}

static void require_shift(const ann_context & c) {
    if (!llama_memory_can_shift(memory_of(c))) {
        fail(ANN_ERROR_UNSUPPORTED, "this model's positions cannot be shifted");
    }
}

ann_status ann_context_seq_add(ann_context * context, int32_t seq, int32_t p0, int32_t p1, int32_t delta, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq", seq);
        require_shift(c);
        llama_memory_seq_add(memory_of(c), seq, p0, p1, delta);
    });
}

ann_status ann_context_seq_div(ann_context * context, int32_t seq, int32_t p0, int32_t p1, int32_t divisor, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq", seq);
        require_range("divisor", divisor, 1, INT32_MAX);
        require_shift(c);
        llama_memory_seq_div(memory_of(c), seq, p0, p1, divisor);
    });
}

ann_status ann_context_seq_range(ann_context * context, int32_t seq, int32_t * p_min, int32_t * p_max, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_seq(c, "seq", seq);
        require(p_min, "p_min") = llama_memory_seq_pos_min(memory_of(c), seq);
        require(p_max, "p_max") = llama_memory_seq_pos_max(memory_of(c), seq);
    });
}

ann_status ann_context_fill_random(ann_context * context, uint32_t n_cells, uint64_t seed, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("n_cells", n_cells, 1, llama_n_ctx_seq(c.ctx));
        if (!c.has_search) {
            fail(ANN_ERROR_UNSUPPORTED, "only a context with search keys can be filled");
        }
        if (!llama_ann_fill_random(c.ctx, n_cells, seed)) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "the cache is not empty");
        }
    });
}
