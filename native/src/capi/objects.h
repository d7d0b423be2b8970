// What the opaque handles are.
#pragma once

#include "guard.h"

#include "llama-ann.h"
#include "llama.h"
#include "train/capture.h"

#include <atomic>
#include <memory>
#include <vector>

struct ann_model {
    std::shared_ptr<llama_model> model; // shared with contexts: the memory goes with the last

    const llama_vocab * vocab() const { return llama_model_get_vocab(model.get()); }
};

// What the node callback collects of one layer.
struct ann_layer_sums {
    uint64_t n_measured   = 0;
    double   mass         = 0;
    double   recall       = 0;
    uint64_t search_ns    = 0;
    uint64_t attention_ns = 0;

    std::vector<int32_t> candidates; // of the last token, as cells
};

struct ann_context {
    std::shared_ptr<llama_model> model;
    llama_context * ctx = nullptr;

    ann_context_params params;           // resolved
    bool               has_search = false;
    std::vector<int32_t> search_layers;  // of the last ann_context_get_search

    std::atomic_flag  busy  = ATOMIC_FLAG_INIT;
    std::atomic<bool> abort { false };

    std::vector<uint8_t> outputs;        // of the last batch, one flag a token
    std::vector<int32_t> sequences;      // of the last batch, one a token
    int32_t              last_seq = 0;
    bool                 pooled   = false; // an embedding for each sequence
    bool                 causal   = true;  // false: tokens attend to later ones too, so a batch is one graph

    // statistics
    int32_t  stats_flags = 0;
    int32_t  stats_every = 1;
    uint64_t n_decode    = 0;
    uint64_t n_tokens    = 0;
    uint64_t decode_ns   = 0;
    uint64_t other_ns    = 0;
    uint64_t attention_ns = 0;
    uint64_t search_ns    = 0;
    uint64_t node_start_ns = 0;
    bool     measuring       = false;
    bool     measuring_index = false;
    std::vector<ann_layer_sums> layers;

    std::unique_ptr<ann::node_capture> capture; // of ann_context_set_capture; null: none

    ~ann_context() { llama_free(ctx); }
};

struct ann_sampler {
    std::shared_ptr<llama_model> model;
    llama_sampler * chain   = nullptr;
    llama_sampler * grammar = nullptr; // in the chain; not advanced by prompt tokens but those of its prefix
    std::vector<llama_token> grammar_prefix;
    std::vector<llama_token_data> candidates; // of the last sample

    ~ann_sampler() { llama_sampler_free(chain); }
};

namespace ann {

uint64_t now_ns();

// One thread at a time inside a context.
class context_lock {
public:
    explicit context_lock(ann_context & context) : context(context) {
        if (context.busy.test_and_set(std::memory_order_acquire)) {
            fail(ANN_ERROR_BUSY, "the context is in use by another thread; a context serves one thread at a time");
        }
    }
    ~context_lock() { context.busy.clear(std::memory_order_release); }
    context_lock(const context_lock &) = delete;
    context_lock & operator=(const context_lock &) = delete;

private:
    ann_context & context;
};

// guard for functions of a context: checks the handle, takes the lock, passes the context
template <typename F> ann_status guard_context(ann_context * context, ann_error * error, F && body) noexcept {
    return guard(error, [&] {
        require(context, "context");
        context_lock lock(*context);
        body(*context);
    });
}

// the cache types by name; search: only those that search keys may have
ggml_type parse_type(const char * name, const char * field, bool search);

// the batch token `index` (-1: the last output) must have been asked for
void require_output(const ann_context & context, int32_t index);

// ann_search_params over the model's and context's values; of mode auto with a measurement, so not of an estimate
llama_ann_params resolve_search(const llama_model * model, const ann_search_params & params, ggml_type type_search, int32_t n_threads);
int32_t default_ef_search(int32_t top_k);

constexpr int32_t DEFAULT_EF_CONSTRUCTION = 200; // by recall on traced keys: docs/notes/2026-11-26-index.md

int32_t physical_cores();

// The depth from which on the index is faster: of this process, of the file of calibrations, or measured now.
int32_t calibrated_min_context(int32_t n_embd_search, ggml_type type, int32_t n_threads, int32_t top_k, int32_t ef_search);

// "ann-runtime 0.1.0, llama.cpp <commit>"
std::string library_version();

// the file that the CPU backend came from, such as libggml-cpu-icelake.so; "" where it is no file of its own
std::string cpu_library();

void runtime_init(const char * directory); // fails where there is no CPU backend

void log_message(int32_t level, const std::string & text);

bool stats_callback(ggml_tensor * t, bool ask, void * user_data);
bool capture_callback(ggml_tensor * t, bool ask, void * user_data); // of a context with a capture

} // namespace ann
