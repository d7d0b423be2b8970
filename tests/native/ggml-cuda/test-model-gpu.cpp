// The embedded model on the first GPU found against the CPU: logits of prefill and decode in every mode, sequences,
// perplexity. Without a GPU: layers asked for on one that is not there change nothing.

#include "../capi/figures.h"

#include "ggml-backend.h"

using namespace figures;

namespace {

model_ptr load_on(int32_t n_gpu_layers) {
    quiet();
    ann_model_params p;
    ann_model_params_default(&p);
    p.n_gpu_layers = n_gpu_layers;
    ann_model * m = nullptr;
    OK(ann_model_load(model_path().c_str(), &p, &m, &e_));
    return model_ptr(m, ann_model_free);
}

ann_model * on_cpu() {
    static model_ptr m = load_on(0);
    return m.get();
}

ann_model * on_gpu() {
    static model_ptr m = load_on(-1);
    return m.get();
}

bool has_gpu() {
    on_cpu(); // loads the backends
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != nullptr;
}

struct setting { const char * k; const char * s; int32_t mode; int32_t top_k; double tolerance; };

ann_context_params of(const setting & s) {
    auto p = params(2048, s.mode, s.top_k);
    std::snprintf(p.type_k, sizeof(p.type_k), "%s", s.k);
    std::snprintf(p.type_v, sizeof(p.type_v), "%s", s.k);
    std::snprintf(p.type_search, sizeof(p.type_search), "%s", s.s);
    p.flash_attention = 1;
    return p;
}

// after a prompt, and after eight tokens that follow it one by one
std::vector<std::vector<float>> logits_of(const setting & s, ann_model * m) {
    auto c = create(of(s), m);
    std::vector<std::vector<float>> res = { feed(c.get(), slice(0, 1000)) };
    for (int32_t t : slice(1000, 8)) {
        OK(try_decode(c.get(), { t }, &e_));
        res.push_back(logits(c.get()));
    }
    return res;
}

} // namespace

TEST("logits on the GPU are those of the CPU within the rounding of quantised products") {
    if (!has_gpu()) {
        std::printf("     no GPU found: -1 and 0 GPU layers must agree\n");
    }
    // q8_0 weights: products quantise their activations, so a rounding in one layer flips steps in the next (1e-2 under
    // any two implementations); a top-k cut that falls between two near scores adds to it
    // (1.4e-2 to 1.8e-2 measured on an H100); in a q4_0 cache it flips steps of a sixteenth of the range (8.3e-2)
    const setting settings[] = {
        { "f16",  "f16",  ANN_SEARCH_OFF,   0,   4e-2 }, { "f16",  "f16",  ANN_SEARCH_DENSE, 0,   4e-2 },
        { "f16",  "f16",  ANN_SEARCH_EXACT, 128, 4e-2 }, { "f16",  "q8_0", ANN_SEARCH_EXACT, 256, 4e-2 },
        { "q8_0", "q8_0", ANN_SEARCH_EXACT, 128, 4e-2 }, { "q4_0", "f16",  ANN_SEARCH_EXACT, 128, 0.15 },
    };
    for (const setting & s : settings) {
        const auto cpu = logits_of(s, on_cpu()), gpu = logits_of(s, on_gpu());
        double worst = 0.0;
        for (size_t i = 0; i < cpu.size(); ++i) {
            worst = std::max(worst, relative(cpu[i], gpu[i]));
        }
        std::printf("     K/V %s, search keys %s, mode %d, K %d: %.1e\n", s.k, s.s, s.mode, s.top_k, worst);
        CHECK_LE(worst, has_gpu() ? s.tolerance : 0.0);
    }
}

TEST("two sequences in one batch, unified and in streams, are what each is alone") {
    for (int32_t unified : { 0, 1 }) {
        auto p = of({ "f16", "f16", ANN_SEARCH_EXACT, 64, 0.0 });
        p.n_seq_max  = 2;
        p.kv_unified = unified;
        auto c = create(p, on_gpu());
        feed(c.get(), slice(0, 600), 0);
        feed(c.get(), slice(3000, 500), 1);
        const int32_t tokens[] = { 17, 23 }, sequences[] = { 0, 1 };
        const int8_t  outputs[] = { 1, 1 };
        ann_batch b = {};
        b.struct_size = sizeof(b);
        b.n_tokens  = 2;
        b.tokens    = tokens;
        b.sequences = sequences;
        b.outputs   = outputs;
        OK(ann_context_decode(c.get(), &b, &e_));
        for (int32_t i = 0; i < 2; ++i) {
            auto alone = create(of({ "f16", "f16", ANN_SEARCH_EXACT, 64, 0.0 }), on_gpu());
            feed(alone.get(), i == 0 ? slice(0, 600) : slice(3000, 500));
            OK(try_decode(alone.get(), { tokens[i] }, &e_));
            CHECK_LE(relative(logits(alone.get()), logits(c.get(), i)), 4e-2);
        }
    }
}

TEST("half of the layers on the GPU, and K/V kept on the host, give the same answer") {
    if (!has_gpu()) {
        return;
    }
    const setting s = { "f16", "f16", ANN_SEARCH_EXACT, 128, 4e-2 };
    const auto cpu = logits_of(s, on_cpu());
    const model_ptr half = load_on(6);
    const auto partly = logits_of(s, half.get());
    for (size_t i = 0; i < cpu.size(); ++i) {
        CHECK_LE(relative(cpu[i], partly[i]), s.tolerance);
    }
    auto p = of(s);
    p.offload_kqv = 0;
    auto c = create(p, on_gpu());
    CHECK_LE(relative(cpu[0], feed(c.get(), slice(0, 1000))), s.tolerance);
}

// what is computed where, and what is copied: llama/test-search-memory.cpp
TEST("search keys in other memory than K/V give the same answer, exact and by index") {
    const struct { const char * name; int32_t mode, offload_kqv, search_memory; } places[] = {
        { "K/V on the host, keys on the GPU", ANN_SEARCH_EXACT, 0, ANN_SEARCH_MEMORY_DEVICE },
        { "K/V on the GPU, keys on the host", ANN_SEARCH_EXACT, 1, ANN_SEARCH_MEMORY_HOST },
        { "the same, by index",               ANN_SEARCH_HNSW,  1, ANN_SEARCH_MEMORY_AUTO },
    };
    for (const auto & place : places) {
        setting s = { "f16", "f16", place.mode, 128, 4e-2 };
        auto run = [&](ann_model * m) {
            auto p = of(s);
            p.offload_kqv   = place.offload_kqv;
            p.search_memory = place.search_memory;
            p.search.index_eager = 1;
            auto c = create(p, m);
            std::vector<std::vector<float>> res = { feed(c.get(), slice(0, 1000)) };
            for (int32_t t : slice(1000, 8)) {
                OK(try_decode(c.get(), { t }, &e_));
                res.push_back(logits(c.get()));
            }
            return res;
        };
        const auto cpu = run(on_cpu()), gpu = run(on_gpu());
        double worst = 0.0;
        for (size_t i = 0; i < cpu.size(); ++i) {
            worst = std::max(worst, relative(cpu[i], gpu[i]));
        }
        std::printf("     %s: %.1e\n", place.name, worst);
        CHECK_LE(worst, has_gpu() ? s.tolerance : 0.0);
    }
}

TEST("perplexity on the GPU is the CPU's") {
    if (!has_gpu()) {
        return; // capi/test-figures has the CPU's
    }
    auto figure = [](ann_model * m, int32_t mode) {
        auto p = params(N_CTX, mode, 128);
        p.flash_attention = 1;
        auto c = create(p, m);
        return perplexity(c.get(), 2);
    };
    for (int32_t mode : { ANN_SEARCH_DENSE, ANN_SEARCH_EXACT }) {
        const double cpu = figure(on_cpu(), mode), gpu = figure(on_gpu(), mode);
        std::printf("     mode %d: CPU %.4f, GPU %.4f\n", mode, cpu, gpu);
        CHECK_LE(std::abs(gpu/cpu - 1.0), 0.003);
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
