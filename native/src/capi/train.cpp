// Training: a context of full attention whose capture feeds the trainer, one ubatch for a window.

#include "ann-train.h"

#include "objects.h"

#include "train/graph-objective.h"
#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <strings.h>

using namespace ann;

struct ann_train {
    std::unique_ptr<ann_context> context;
    std::unique_ptr<trainer>     training;
    ann_train_params             params; // resolved
    ggml_backend_buffer_type_t   device = nullptr; // where the objective reads what is captured; nullptr: the host
    std::atomic_flag             busy = ATOMIC_FLAG_INIT;
};

namespace {

constexpr int32_t N_DOCUMENTS = 256; // sequences of a context; a window's last document takes what would be more

// one call at a time, as for contexts
class train_lock {
public:
    explicit train_lock(ann_train & train) : train(train) {
        if (train.busy.test_and_set(std::memory_order_acquire)) {
            fail(ANN_ERROR_BUSY, "the trainer is in use by another thread; a trainer serves one thread at a time");
        }
    }
    ~train_lock() { train.busy.clear(std::memory_order_release); }
    train_lock(const train_lock &) = delete;
    train_lock & operator=(const train_lock &) = delete;

private:
    ann_train & train;
};

template <typename F> ann_status guard_train(ann_train * train, ann_error * error, F && body) noexcept {
    return guard(error, [&] {
        require(train, "train");
        train_lock lock(*train);
        body(*train);
    });
}

void require_float(const char * name, float value, float min, float max) {
    if (!(value >= min && value <= max)) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, (double) value, (double) min, (double) max);
    }
}

float model_freq_base(const llama_model * model) {
    char architecture[128] = {}, value[64] = {};
    if (llama_model_meta_val_str(model, "general.architecture", architecture, sizeof(architecture)) < 0 ||
            llama_model_meta_val_str(model, (std::string(architecture) + ".rope.freq_base").c_str(), value, sizeof(value)) < 0) {
        return 10000.0f; // llama.cpp's own default
    }
    return std::strtof(value, nullptr);
}

void check(ann_train_params & p, const llama_model * model) {
    require_range("params.n_embd_search", p.n_embd_search, 32, 1024);
    if (p.n_embd_search % 32 != 0) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.n_embd_search is %d, expected a multiple of 32", p.n_embd_search);
    }
    require_range("params.n_rot", p.n_rot, -1, p.n_embd_search);
    p.n_rot = p.n_rot == -1 ? p.n_embd_search : p.n_rot;
    if (p.n_rot % 2 != 0) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.n_rot is %d, expected an even number", p.n_rot);
    }
    p.rope_freq_base = p.rope_freq_base == 0.0f ? model_freq_base(model) : p.rope_freq_base;
    require_float("params.rope_freq_base", p.rope_freq_base, 1.0f, 1e12f);
    require_range("params.n_window", p.n_window, 1, 1 << 20);
    require_range("params.n_sink", p.n_sink, 0, 1 << 20);
    require_range("params.teacher", p.teacher, ANN_TEACHER_MEAN, ANN_TEACHER_MAX);
    require_range("params.by_mass", p.by_mass, 0, 1);
    require_float("params.kl", p.kl, 0.0f, 1e3f);
    require_float("params.kl_unit", p.kl_unit, 0.0f, 1e3f);
    require_float("params.contrastive", p.contrastive, 0.0f, 1e3f);
    if (p.kl + p.kl_unit + p.contrastive == 0.0f) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.kl, params.kl_unit and params.contrastive are all 0: there is nothing to learn");
    }
    require_float("params.temperature", p.temperature, 1e-3f, 1e3f);
    require_range("params.n_positives", p.n_positives, 1, 1 << 20);
    require_float("params.learning_rate", p.learning_rate, 0.0f, 1.0f);
    require_float("params.learning_rate_end", p.learning_rate_end, 0.0f, 1.0f);
    require_float("params.weight_decay", p.weight_decay, 0.0f, 1.0f);
    require_float("params.clip", p.clip, 0.0f, 1e6f);
    require_range("params.n_steps", p.n_steps, 1, INT32_MAX);
    require_range("params.n_warmup", p.n_warmup, 0, INT32_MAX);
    require_range("params.n_ctx", p.n_ctx, (int64_t) p.n_window + p.n_sink + 3, 1 << 16);
    require_range("params.n_updates", p.n_updates, 1, p.n_ctx);
    require_range("params.n_queries", p.n_queries, 0, 1 << 16);
    require_range("params.n_threads", p.n_threads, 0, 512);
    require_range("params.pack", p.pack, 0, 1);
}

std::vector<int32_t> read_layers(const ann_train_params & p, int32_t n_layer) {
    std::vector<int32_t> res;
    if (p.n_layers == -1) {
        for (int32_t il = 0; il < n_layer; ++il) {
            res.push_back(il);
        }
        return res;
    }
    require_range("params.n_layers", p.n_layers, 1, n_layer);
    require(p.layers, "params.layers");
    for (int32_t i = 0; i < p.n_layers; ++i) {
        require_range("params.layers", p.layers[i], i == 0 ? 0 : (int64_t) p.layers[i - 1] + 1, n_layer - 1);
        res.push_back(p.layers[i]);
    }
    return res;
}

trainer_params make_trainer_params(const ann_train_params & p, const llama_model * model) {
    trainer_params res;
    res.shape     = { llama_model_n_embd(model), p.n_embd_search, p.n_rot, p.rope_freq_base, p.n_window, p.n_sink };
    res.objective = { p.teacher == ANN_TEACHER_MEAN, p.by_mass != 0, p.kl, p.kl_unit, p.contrastive, p.temperature, p.n_positives };
    res.layers    = read_layers(p, llama_model_n_layer(model));
    res.learning_rate     = p.learning_rate;
    res.learning_rate_end = p.learning_rate_end;
    res.weight_decay      = p.weight_decay;
    res.clip      = p.clip;
    res.n_steps   = p.n_steps;
    res.n_warmup  = p.n_warmup;
    res.n_updates = p.n_updates;
    res.n_queries = p.n_queries;
    res.n_threads = p.n_threads;
    res.seed      = p.seed;
    return res;
}

std::unique_ptr<ann_context> make_context(ann_model * model, const ann_train_params & p) {
    ann_context_params cp;
    ann_context_params_default(&cp);
    cp.n_ctx = cp.n_batch = cp.n_ubatch = (uint32_t) p.n_ctx; // one ubatch: a layer comes whole, and goes before the next
    cp.n_seq_max       = p.pack ? N_DOCUMENTS : 1;
    cp.n_threads       = p.n_threads;
    cp.flash_attention = 1;
    cp.search.mode     = ANN_SEARCH_OFF;
    ann_context * context = nullptr;
    ann_error error = {};
    error.struct_size = sizeof(error);
    if (ann_context_create(model, &cp, &context, &error) != ANN_OK) {
        fail((ann_status) error.status, "%s", error.message);
    }
    return std::unique_ptr<ann_context>(context);
}

// the documents of a packed window: sequence and first row of each token
void find_documents(const ann_train & t, const int32_t * tokens, size_t n_tokens, std::vector<int32_t> & sequences, std::vector<int32_t> & starts) {
    const llama_vocab * vocab = llama_model_get_vocab(t.context->model.get());
    int32_t document = 0, start = 0;
    for (size_t i = 0; i < n_tokens; ++i) {
        sequences.push_back(document);
        starts.push_back(start);
        const bool known = tokens[i] >= 0 && tokens[i] < llama_vocab_n_tokens(vocab); // the decode refuses the others
        if (known && llama_vocab_is_eog(vocab, tokens[i]) && document + 1 < N_DOCUMENTS) {
            ++document;
            start = (int32_t) i + 1;
        }
    }
}

// Runs the window and gives every trained layer to `on_layer`, whose exceptions come out of here.
template <typename F> void run_window(ann_train & t, const int32_t * tokens, size_t n_tokens, F && on_layer) {
    require(tokens, "tokens");
    require_range("n_tokens", (int64_t) n_tokens, (int64_t) t.params.n_window + t.params.n_sink + 3, t.params.n_ctx);
    std::vector<int32_t> sequences, starts;
    if (t.params.pack) {
        find_documents(t, tokens, n_tokens, sequences, starts);
    }
    std::exception_ptr problem;
    ann_context & c = *t.context;
    c.capture = std::make_unique<node_capture>([&](captured_layer & x) {
        try {
            if (t.training->index_of(x.layer) >= 0) {
                if (x.n_tokens != (int32_t) n_tokens) {
                    fail(ANN_ERROR_INTERNAL, "layer %d came with %d of %zu tokens", x.layer, x.n_tokens, n_tokens);
                }
                x.starts = starts;
                on_layer(x);
            }
            return true;
        } catch (...) {
            problem = std::current_exception();
            return false;
        }
    }, t.device);
    llama_ann_set_eval_callback(c.ctx, capture_callback, &c);
    ann_error error = {};
    error.struct_size = sizeof(error);
    ann_batch batch = {};
    batch.struct_size = sizeof(batch);
    batch.n_tokens = (uint32_t) n_tokens;
    batch.tokens   = tokens;
    batch.sequences = t.params.pack ? sequences.data() : nullptr;
    ann_status status = ann_context_clear(&c, &error);
    if (status == ANN_OK) {
        status = ann_context_decode(&c, &batch, &error);
    }
    llama_ann_set_eval_callback(c.ctx, nullptr, nullptr);
    c.capture.reset();
    if (problem) {
        std::rethrow_exception(problem);
    }
    if (status != ANN_OK) {
        fail(status, "%s", status == ANN_ERROR_CANCELLED ? "the window was cancelled; nothing of it was learned" : error.message);
    }
}

// "cpu" in any case, or a GPU's name; nullptr: the objective runs on CPUs
ggml_backend_dev_t find_device(const char * name, const llama_model * model) {
    if (!name) {
        return llama_ann_first_gpu(model);
    }
    std::string names = "cpu";
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        const bool is_cpu = ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU;
        if (strcasecmp(name, ggml_backend_dev_name(dev)) == 0) {
            return is_cpu ? nullptr : dev;
        }
        names += is_cpu ? "" : std::string(", ") + ggml_backend_dev_name(dev);
    }
    fail(ANN_ERROR_INVALID_ARGUMENT, "params.device is %s, expected one of: %s", name, names.c_str());
}

// also says what the device is: its buffers hold what is captured
std::unique_ptr<objective> make_objective(ann_train & t, const trainer_params & tp, const llama_model * model) {
    ggml_backend_dev_t dev = find_device(t.params.device, model);
    t.params.device = dev ? ggml_backend_dev_name(dev) : "cpu";
    if (!dev) {
        return nullptr;
    }
    auto res = std::make_unique<graph_objective>(tp.shape, tp.objective, dev);
    const int32_t n_head = llama_model_n_head(model);
    const std::string missing = res->missing(t.params.n_ctx, n_head, llama_model_n_head_kv(model), llama_model_n_embd(model)/n_head, false);
    if (!missing.empty()) {
        fail(ANN_ERROR_UNSUPPORTED, "device %s has no %s, which training needs; train on \"cpu\"", t.params.device, missing.c_str());
    }
    t.device = ggml_backend_dev_buffer_type(dev);
    return res;
}

std::vector<float> & tensor_of(trainer::layer & l, int32_t tensor) {
    std::vector<float> * all[] = { &l.w.q, &l.w.k, &l.q.m, &l.k.m, &l.q.v, &l.k.v };
    return *all[tensor];
}

std::vector<float> & require_tensor(ann_train & t, int32_t index, int32_t tensor, const void * values, size_t n_values) {
    require_range("index", index, 0, (int64_t) t.training->layers.size() - 1);
    require_range("tensor", tensor, ANN_TRAIN_W_Q, ANN_TRAIN_V_K);
    require((const char *) values, "values");
    std::vector<float> & found = tensor_of(t.training->layers[(size_t) index], tensor);
    if (found.size() != n_values) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "n_values is %zu, expected n_embd_search x n_embd = %d x %d", n_values,
            t.training->params.shape.n_embd_search, t.training->params.shape.n_embd);
    }
    return found;
}

} // namespace

void ann_train_params_default(ann_train_params * params) {
    if (params) {
        *params = {};
        params->struct_size   = sizeof(*params);
        params->n_embd_search = 64;
        params->n_rot         = -1;
        params->n_window      = 32;
        params->n_sink        = 4;
        params->by_mass       = 1;
        params->kl_unit       = 1.0f;
        params->contrastive   = 0.1f;
        params->temperature   = 0.07f;
        params->n_positives   = 16;
        params->learning_rate     = 2e-3f;
        params->learning_rate_end = 1e-4f;
        params->weight_decay  = 0.01f;
        params->clip          = 1.0f;
        params->n_steps       = 300;
        params->n_warmup      = 30;
        params->n_ctx         = 4096;
        params->n_updates     = 4;
        params->n_queries     = 1024;
        params->n_layers      = -1;
        params->seed          = 1;
    }
}

ann_status ann_train_create(ann_model * model, const ann_train_params * params, ann_train ** train, ann_error * error) {
    return guard(error, [&] {
        require(train, "train") = nullptr;
        const llama_model * m = require(model, "model").model.get();
        ann_train_params defaults;
        ann_train_params_default(&defaults);
        auto t = std::make_unique<ann_train>();
        t->params  = read_struct(params, defaults, "params");
        check(t->params, m);
        t->context = make_context(model, t->params);
        t->params.n_threads = t->context->params.n_threads;
        const trainer_params tp = make_trainer_params(t->params, m);
        t->training = std::make_unique<trainer>(tp, make_objective(*t, tp, m));
        t->params.layers   = t->training->params.layers.data();
        t->params.n_layers = (int32_t) t->training->params.layers.size();
        *train = t.release();
    });
}

void ann_train_free(ann_train * train) { delete train; }

ann_status ann_train_get_params(ann_train * train, ann_train_params * params, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) { write_struct(params, t.params, "params"); });
}

ann_status ann_train_window(ann_train * train, const int32_t * tokens, size_t n_tokens, const int32_t * marked, size_t n_marked,
        ann_train_report * report, double * loss, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) {
        check_struct_size("report", require(report, "report").struct_size, sizeof(*report));
        if (n_marked > 0) {
            require(marked, "marked");
        }
        for (size_t i = 0; i < n_marked; ++i) {
            require_range("marked", marked[i], 0, (int64_t) n_tokens - 1);
        }
        trainer & training = *t.training;
        const auto queries = training.draw_queries((int32_t) n_tokens, std::vector<int32_t>(marked, marked + n_marked));
        const std::vector<trainer::layer> before = training.layers; // the window is learned whole or not at all
        std::vector<double> losses(before.size());
        try {
            run_window(t, tokens, n_tokens, [&](const captured_layer & x) {
                losses[(size_t) training.index_of(x.layer)] = training.learn(x, queries);
            });
        } catch (...) {
            training.layers = before;
            throw;
        }
        training.step += t.params.n_updates;
        ann_train_report res = {};
        res.n_updates     = t.params.n_updates;
        res.step          = training.step;
        res.learning_rate = training.learning_rate(training.step - 1);
        for (double l : losses) {
            res.loss += l/(double) losses.size();
        }
        if (loss) {
            std::copy(losses.begin(), losses.end(), loss);
        }
        write_struct(report, res, "report");
    });
}

ann_status ann_train_evaluate(ann_train * train, const int32_t * tokens, size_t n_tokens, int32_t top_k, int32_t every, double * mass, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) {
        require(mass, "mass");
        require_range("top_k", top_k, (int64_t) t.params.n_window + t.params.n_sink, 1 << 20);
        require_range("every", every, 1, (int64_t) n_tokens);
        std::vector<int32_t> queries;
        for (int32_t i = every - 1; i < (int32_t) n_tokens; i += every) {
            queries.push_back(i);
        }
        run_window(t, tokens, n_tokens, [&](const captured_layer & x) {
            mass[t.training->index_of(x.layer)] = t.training->mass(x, queries, top_k);
        });
    });
}

void ann_train_abort(ann_train * train) {
    if (train) {
        ann_context_abort(train->context.get());
    }
}

ann_status ann_train_get_tensor(ann_train * train, int32_t index, int32_t tensor, float * values, size_t n_values, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) {
        const auto & found = require_tensor(t, index, tensor, values, n_values);
        std::copy(found.begin(), found.end(), values);
    });
}

ann_status ann_train_set_tensor(ann_train * train, int32_t index, int32_t tensor, const float * values, size_t n_values, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) {
        auto & found = require_tensor(t, index, tensor, values, n_values);
        for (size_t i = 0; i < n_values; ++i) {
            if (!std::isfinite(values[i])) {
                fail(ANN_ERROR_BAD_STATE, "values[%zu] is %g, expected a finite number", i, (double) values[i]);
            }
        }
        std::copy_n(values, n_values, found.begin());
    });
}

ann_status ann_train_set_step(ann_train * train, int64_t step, ann_error * error) {
    return guard_train(train, error, [&](ann_train & t) {
        require_range("step", step, 0, INT32_MAX);
        t.training->step = step;
    });
}
