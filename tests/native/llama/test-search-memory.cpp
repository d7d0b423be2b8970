// Search keys in other memory than K and V: on every GPU found, or on a pretended one. Where search and attention are
// computed, what is copied between devices, and that answers are those of the CPU.

#include "../check.h"
#include "pretended-gpu.h"

#include "ggml-backend.h"
#include "llama-ann.h"
#include "llama-kv-cache-ann.h"
#include "llama-model.h"

#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using model_ptr   = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using context_ptr = std::unique_ptr<llama_context, decltype(&llama_free)>;

// as in ggml-cuda/test-model-gpu.cpp: products with q8_0 weights quantise their activations
constexpr double TOLERANCE = 4e-2;

constexpr int32_t N_CTX = 2048, N_LAYER = 12, TOP_K = 128, N_PROMPT = 1100, N_DECODED = 8;

std::string logged; // warnings and informations

void load_backends() {
    static const bool loaded = [] {
        llama_log_set([](ggml_log_level level, const char * text, void *) {
            if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR || std::strstr(text, "tell_of_places")) {
                logged += text;
            }
        }, nullptr);
        ggml_backend_load_all_from_path(ANN_BIN_DIR);
        if (!ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU)) {
            pretended::register_device();
        }
        std::printf("     GPU: %s\n", ggml_backend_dev_name(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU)));
        return true;
    }();
    (void) loaded;
}

// n_gpu_layers 0: the CPU, with no GPU at all
llama_model * model(int32_t n_gpu_layers) {
    load_backends();
    static std::map<int32_t, model_ptr> models;
    auto it = models.find(n_gpu_layers);
    if (it == models.end()) {
        llama_model_params p = llama_model_default_params();
        ggml_backend_dev_t none = nullptr;
        p.n_gpu_layers = n_gpu_layers;
        p.devices      = n_gpu_layers == 0 ? &none : nullptr;
        it = models.emplace(n_gpu_layers, model_ptr(llama_model_load_from_file(ANN_MODELS_DIR "/ann-rotated-d64-q8_0.gguf", p), llama_model_free)).first;
    }
    CHECK(it->second != nullptr);
    return it->second.get();
}

const std::vector<llama_token> & text() {
    static const std::vector<llama_token> tokens = [] {
        std::ifstream in(ANN_TEST_DATA_DIR "/heldout-131k.txt", std::ios::binary);
        std::string s(32768, ' ');
        in.read(&s[0], (std::streamsize) s.size());
        std::vector<llama_token> res(s.size());
        const int32_t n = llama_tokenize(llama_model_get_vocab(model(0)), s.data(), (int32_t) s.size(), res.data(), (int32_t) res.size(), false, true);
        CHECK(n > 2*N_PROMPT);
        res.resize((size_t) n);
        return res;
    }();
    return tokens;
}

// ---------------------------------------------------------------------------------------------------------------------
// what is looked at

// Nodes on the host, by the name before the layer, of all layers; and what was copied to the device of the node that read it.
struct watcher {
    std::map<std::string, int> on_host, on_device;
    int  n_changes = 0; // of device, from node to node
    bool was_on_host = true;
    std::map<std::string, size_t> copied; // of the last graphs

    static bool call(ggml_tensor * t, bool ask, void * self) {
        if (ask) {
            ((watcher *) self)->see(t);
        }
        return !ask; // nothing has to be waited for
    }

    void see(const ggml_tensor * t) {
        const std::string name = t->name;
        const bool is_view = t->op == GGML_OP_NONE || t->op == GGML_OP_RESHAPE || t->op == GGML_OP_VIEW || t->op == GGML_OP_PERMUTE || t->op == GGML_OP_TRANSPOSE;
        if (!is_view && ggml_backend_buffer_is_host(t->buffer) != was_on_host) {
            was_on_host = !was_on_host;
            ++n_changes;
        }
        for (const char * of : { LLAMA_ANN_NODE_TOPK "-", LLAMA_ANN_NODE_ATTN "-" }) {
            if (name.rfind(of, 0) == 0 && (t->op == GGML_OP_ANN || t->op == GGML_OP_CUSTOM)) {
                ++(ggml_backend_buffer_is_host(t->buffer) ? on_host : on_device)[of];
            }
        }
        for (const ggml_tensor * src : t->src) {
            if (src && std::strchr(src->name, '#')) { // "device#tensor#copy", as the scheduler calls it
                copied[src->name] = ggml_nbytes(src);
            }
        }
    }

    void forget() { *this = {}; }

    size_t bytes() const {
        size_t res = 0;
        for (const auto & [name, n] : copied) {
            res += n;
        }
        return res;
    }

    // names of the caches' tensors: cache_k_l0, cache_idx_k_l0
    void check_no_cache() const {
        for (const auto & [name, n] : copied) {
            if (name.find("cache_") != std::string::npos) {
                CHECK_FAIL(name << " was copied, " << n << " bytes");
            }
        }
    }
};

struct place {
    const char *            name;
    bool                    offload_kqv;
    llama_ann_search_memory memory;
    llama_ann_mode          mode;
    bool                    search_on_device, attention_on_device; // of layers on the device
};

const place PLACES[] = {
    { "all on the device",                   true,  LLAMA_ANN_SEARCH_MEMORY_AUTO,   LLAMA_ANN_MODE_EXACT, true,  true },
    { "all on the host",                     false, LLAMA_ANN_SEARCH_MEMORY_AUTO,   LLAMA_ANN_MODE_EXACT, false, false },
    { "K/V on the host, keys on the device", false, LLAMA_ANN_SEARCH_MEMORY_DEVICE, LLAMA_ANN_MODE_EXACT, true,  false },
    { "K/V on the device, keys on the host", true,  LLAMA_ANN_SEARCH_MEMORY_HOST,   LLAMA_ANN_MODE_EXACT, false, true },
    { "the same, by index",                  true,  LLAMA_ANN_SEARCH_MEMORY_AUTO,   LLAMA_ANN_MODE_HNSW,  false, true },
    { "all on the host, by index",           false, LLAMA_ANN_SEARCH_MEMORY_AUTO,   LLAMA_ANN_MODE_HNSW,  false, false },
};

llama_ann_params search_of(const place & p, int32_t min_context = 0) {
    llama_ann_params res;
    res.mode          = p.mode;
    res.top_k         = TOP_K;
    res.n_sink        = 4;
    res.n_window      = 32;
    res.min_context   = min_context;
    res.ef_search     = 512;
    res.index_threads = 2;
    res.index_eager   = true;
    res.layers.assign(N_LAYER, 1);
    return res;
}

struct session {
    context_ptr ctx { nullptr, llama_free };
    watcher     seen;

    session(llama_model * m, const place & p, int32_t min_context = 0, int n_seq = 1, bool unified = true, const char * type_v = "f16") {
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx           = N_CTX;
        cp.n_batch         = N_CTX;
        cp.n_ubatch        = 256;
        cp.n_seq_max       = (uint32_t) n_seq;
        cp.kv_unified      = unified;
        cp.n_threads       = cp.n_threads_batch = 2;
        cp.offload_kqv     = p.offload_kqv;
        cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
        cp.type_v          = std::strcmp(type_v, "q8_0") == 0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
        logged.clear();
        ctx = context_ptr(llama_ann_init_from_model(m, cp, search_of(p, min_context), GGML_TYPE_F16, p.memory), llama_free);
        CHECK(ctx != nullptr);
        llama_ann_set_eval_callback(ctx.get(), watcher::call, &seen);
    }

    const llama_kv_cache_ann & cache() const { return *dynamic_cast<llama_kv_cache_ann *>(llama_get_memory(ctx.get())); }

    // the tokens of one batch, each of its sequence; logits of the last of each sequence in turn
    std::vector<std::vector<float>> decode(const std::vector<std::pair<llama_seq_id, std::vector<llama_token>>> & parts) {
        int32_t n = 0;
        for (const auto & part : parts) {
            n += (int32_t) part.second.size();
        }
        llama_batch b = llama_batch_init(n, 0, 1);
        std::vector<int32_t> outputs;
        for (const auto & [seq, tokens] : parts) {
            const llama_pos first = llama_memory_seq_pos_max(llama_get_memory(ctx.get()), seq) + 1;
            for (size_t i = 0; i < tokens.size(); ++i, ++b.n_tokens) {
                b.token[b.n_tokens]     = tokens[i];
                b.pos[b.n_tokens]       = first + (llama_pos) i;
                b.n_seq_id[b.n_tokens]  = 1;
                b.seq_id[b.n_tokens][0] = seq;
                b.logits[b.n_tokens]    = i + 1 == tokens.size();
            }
            outputs.push_back(b.n_tokens - 1);
        }
        const int rc = llama_decode(ctx.get(), b);
        llama_batch_free(b);
        CHECK_EQ(rc, 0);
        std::vector<std::vector<float>> res;
        const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(ctx.get())));
        for (int32_t i : outputs) {
            const float * p = llama_get_logits_ith(ctx.get(), i);
            res.emplace_back(p, p + n_vocab);
        }
        return res;
    }

    std::vector<float> decode(size_t from, size_t n, llama_seq_id seq = 0) {
        return decode({ { seq, { text().begin() + (ptrdiff_t) from, text().begin() + (ptrdiff_t) (from + n) } } })[0];
    }

    // after a prompt, and after the tokens that follow it one by one
    std::vector<std::vector<float>> read_text() {
        std::vector<std::vector<float>> res = { decode(0, N_PROMPT) };
        for (int32_t i = 0; i < N_DECODED; ++i) {
            res.push_back(decode((size_t) (N_PROMPT + i), 1));
        }
        return res;
    }

    std::vector<uint8_t> save() {
        std::vector<uint8_t> res(llama_state_get_size(ctx.get()));
        res.resize(llama_state_get_data(ctx.get(), res.data(), res.size()));
        return res;
    }
};

// root mean square of the difference over that of a
double relative(const std::vector<float> & a, const std::vector<float> & b) {
    double d = 0.0, n = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        d += ((double) a[i] - b[i])*((double) a[i] - b[i]);
        n += (double) a[i]*a[i];
    }
    return std::sqrt(d/n);
}

double worst(const std::vector<std::vector<float>> & a, const std::vector<std::vector<float>> & b) {
    double res = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        res = std::max(res, relative(a[i], b[i]));
    }
    return res;
}

} // namespace

TEST("search and attention are computed where their cells lie, caches are not copied, and logits are the CPU's") {
    std::map<int, std::vector<std::vector<float>>> expected;
    for (int mode : { LLAMA_ANN_MODE_EXACT, LLAMA_ANN_MODE_HNSW }) {
        expected[mode] = session(model(0), { "", true, LLAMA_ANN_SEARCH_MEMORY_AUTO, (llama_ann_mode) mode, false, false }, 500).read_text();
    }
    for (int32_t n_gpu_layers : { 99, 6 }) { // all, and half of the layers
        for (const place & p : PLACES) {
            session s(model(n_gpu_layers), p, 500); // the first ubatch attends to all cells
            const auto prompt = s.decode(0, N_PROMPT);
            if (n_gpu_layers == 99) {
                s.seen.check_no_cache(); // else a GPU may attend to all cells of the prompt for the CPU
            }
            s.seen.forget();
            std::vector<std::vector<float>> got = { prompt };
            for (int32_t i = 0; i < N_DECODED; ++i) {
                got.push_back(s.decode((size_t) (N_PROMPT + i), 1));
            }
            s.seen.check_no_cache();
            const int n_device = N_DECODED*(n_gpu_layers == 99 ? N_LAYER : 5); // of the 6 the output is one
            const int n_all    = N_DECODED*N_LAYER;
            std::printf("     %d layers, %s: %.1e, for a token %zu bytes copied, %.1f changes of device\n", n_gpu_layers, p.name,
                worst(expected[p.mode], got), s.seen.bytes(), s.seen.n_changes/(double) N_DECODED);
            CHECK_LE(s.seen.n_changes, N_DECODED*(2*n_device/N_DECODED + 6)); // two a layer, and those around the layers
            CHECK_EQ(s.seen.on_device[LLAMA_ANN_NODE_TOPK "-"], p.search_on_device ? n_device : 0);
            CHECK_EQ(s.seen.on_host  [LLAMA_ANN_NODE_TOPK "-"], p.search_on_device ? n_all - n_device : n_all);
            CHECK_EQ(s.seen.on_device[LLAMA_ANN_NODE_ATTN "-"], p.attention_on_device ? n_device : 0);
            CHECK_EQ(s.seen.on_host  [LLAMA_ANN_NODE_ATTN "-"], p.attention_on_device ? n_all - n_device : n_all);
            CHECK_LE(worst(expected[p.mode], got), TOLERANCE);
            if (p.mode == LLAMA_ANN_MODE_HNSW) {
                const auto stats = llama_ann_get_index_stats(s.ctx.get(), 5);
                CHECK_EQ(stats.n_indexed, (uint64_t) (N_PROMPT + N_DECODED));
                CHECK_EQ(stats.n_pending, (uint64_t) 0);
            }
        }
    }
}

TEST("the sparse prompt of a layer on the CPU is searched and attended to there, though a GPU takes its products") {
    for (const place & p : PLACES) {
        session s(model(6), p);
        s.decode(0, N_PROMPT);
        s.seen.check_no_cache();
    }
}

TEST("attention to all cells: search keys are stored where they lie, nothing else changes the device") {
    const auto expected = session(model(0), PLACES[1], N_CTX).read_text();
    for (const place & p : PLACES) {
        session s(model(99), p, N_CTX);
        const auto got = s.read_text();
        s.seen.check_no_cache();
        s.seen.forget();
        s.decode(N_PROMPT + N_DECODED, 1);
        s.seen.check_no_cache();
        std::printf("     %s: %.1e, for a token %zu bytes copied, %d changes of device\n", p.name, worst(expected, got), s.seen.bytes(), s.seen.n_changes);
        CHECK_LE(s.seen.n_changes, p.attention_on_device ? 6 : 2*N_LAYER + 6);
        CHECK_LE(worst(expected, got), TOLERANCE);
    }
}

TEST("two sequences in one batch, unified and in streams") {
    for (const place & p : PLACES) {
        for (bool unified : { true, false }) {
            session s(model(99), p, 0, 2, unified), cpu(model(0), p, 0, 2, unified);
            double d = 0.0;
            for (session * each : { &s, &cpu }) {
                each->decode(0, 600, 0);
                each->decode(900, 500, 1);
            }
            for (int i = 0; i < 3; ++i) {
                const std::vector<std::pair<llama_seq_id, std::vector<llama_token>>> batch = { { 0, { text()[(size_t) (600 + i)] } }, { 1, { text()[(size_t) (1400 + i)] } } };
                d = std::max(d, worst(cpu.decode(batch), s.decode(batch)));
            }
            s.seen.check_no_cache();
            CHECK_LE(d, TOLERANCE);
        }
    }
}

TEST("a state saved with one placement is loaded with every other") {
    for (const place & from : PLACES) {
        session a(model(99), from);
        a.decode(0, 400);
        const auto state = a.save();
        const auto next = a.decode(400, 1);
        for (const place & to : PLACES) {
            for (int32_t n_gpu_layers : { 99, 0 }) {
                session b(model(n_gpu_layers), to);
                CHECK_EQ(llama_state_set_data(b.ctx.get(), state.data(), state.size()), state.size());
                CHECK_LE(relative(next, b.decode(400, 1)), TOLERANCE);
                if (to.mode == LLAMA_ANN_MODE_HNSW && from.mode == LLAMA_ANN_MODE_HNSW) {
                    CHECK_EQ(llama_ann_get_index_stats(b.ctx.get(), 5).n_pending, (uint64_t) 0); // it was taken over
                }
            }
        }
    }
}

TEST("search keys shifted and copied where they lie") {
    for (const place & p : PLACES) {
        session s(model(99), p, 0, 2), cpu(model(0), p, 0, 2);
        std::vector<std::vector<float>> got[2];
        for (session * each : { &s, &cpu }) {
            llama_memory_t memory = llama_get_memory(each->ctx.get());
            each->decode(0, 700);
            llama_memory_seq_rm(memory, 0, 100, 300);
            llama_memory_seq_add(memory, 0, 300, -1, -200);
            auto & out = got[each == &cpu];
            out.push_back(each->decode(700, 1));
            llama_memory_seq_cp(memory, 0, 1, -1, -1);
            out.push_back(each->decode(701, 1, 1));
        }
        CHECK_LE(worst(got[1], got[0]), TOLERANCE);
    }
}

TEST("mode HNSW is refused where search keys were left on the device, and has them on the host where it is asked for at once") {
    session s(model(99), PLACES[0]);
    auto params = search_of(PLACES[0]);
    params.mode = LLAMA_ANN_MODE_HNSW;
    std::string said;
    try {
        llama_ann_set_params(s.ctx.get(), params);
    } catch (const std::exception & e) {
        said = e.what();
    }
    CHECK_CONTAINS(said, "search_memory = host");
    CHECK_EQ((int) llama_ann_get_params(s.ctx.get())->mode, (int) LLAMA_ANN_MODE_EXACT); // as before
    params.index_auto = true;
    CHECK(llama_ann_set_params(s.ctx.get(), params));
    CHECK_EQ((int) llama_ann_get_params(s.ctx.get())->mode, (int) LLAMA_ANN_MODE_EXACT);

    session on_host(model(99), PLACES[3]);
    CHECK(llama_ann_set_params(on_host.ctx.get(), params)); // auto and asked for
    CHECK_EQ((int) llama_ann_get_params(on_host.ctx.get())->mode, (int) LLAMA_ANN_MODE_HNSW);

    place wanted = PLACES[4];
    wanted.memory = LLAMA_ANN_SEARCH_MEMORY_DEVICE;
    said.clear();
    try {
        session refused(model(99), wanted);
    } catch (const test_failure &) {
        said = logged; // as everything that a context cannot be created for
    }
    CHECK_CONTAINS(said, "search_memory = host");
    CHECK(session(model(0), wanted).cache().get_index() != nullptr); // no device: the same as the host
}

TEST("what is logged when a context is created is what is computed on the CPU") {
    for (const place & p : PLACES) {
        session s(model(99), p);
        CHECK(logged.find("computed on the CPU") == std::string::npos);
        const bool apart = p.search_on_device != p.attention_on_device;
        CHECK_EQ(logged.find(p.search_on_device ? "the CPU attends" : "the CPU searches") != std::string::npos, apart);
        // K and V of types that no GPU takes together: only where it holds them
        session mixed(model(99), p, 0, 1, true, "q8_0");
        CHECK_EQ(logged.find("K in f16 and V in q8_0") != std::string::npos, p.attention_on_device);
        session cpu(model(0), p, 0, 1, true, "q8_0");
        CHECK_EQ(logged, std::string());
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
