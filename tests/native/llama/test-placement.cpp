// Where sequences lie in the cache, as the graph asks; and what a GPU would leave to the CPU.

#include "../ggml-cuda/gpu-target.h"

#include "llama-ann-fallback.h"
#include "llama-kv-cache-ann.h"
#include "llama-model.h"

#include <memory>

namespace {

using model_ptr   = std::unique_ptr<llama_model, decltype(&llama_model_free)>;
using context_ptr = std::unique_ptr<llama_context, decltype(&llama_free)>;

llama_model * model() {
    static const model_ptr m = [] {
        llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
        ggml_backend_load_all_from_path(ANN_BIN_DIR);
        return model_ptr(llama_model_load_from_file(ANN_MODELS_DIR "/ann-rotated-d64-q8_0.gguf", llama_model_default_params()), llama_model_free);
    }();
    CHECK(m != nullptr);
    return m.get();
}

llama_ann_params exact() {
    llama_ann_params params;
    params.top_k = 64;
    params.layers.assign(12, 1);
    return params;
}

struct sequences {
    context_ptr ctx { nullptr, llama_free };

    explicit sequences(bool unified) {
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx      = 1024;
        cp.n_seq_max  = 2;
        cp.kv_unified = unified;
        cp.n_threads  = cp.n_threads_batch = 2;
        ctx = context_ptr(llama_ann_init_from_model(model(), cp, exact(), GGML_TYPE_F16), llama_free);
        CHECK(ctx != nullptr);
    }

    llama_memory_t memory() { return llama_get_memory(ctx.get()); }

    void decode(llama_seq_id seq, int32_t n) {
        llama_batch b = llama_batch_init(n, 0, 1);
        const llama_pos first = llama_memory_seq_pos_max(memory(), seq) + 1;
        for (b.n_tokens = 0; b.n_tokens < n; ++b.n_tokens) {
            b.token[b.n_tokens]     = 5;
            b.pos[b.n_tokens]       = first + b.n_tokens;
            b.n_seq_id[b.n_tokens]  = 1;
            b.seq_id[b.n_tokens][0] = seq;
            b.logits[b.n_tokens]    = b.n_tokens == n - 1;
        }
        const int rc = llama_decode(ctx.get(), b);
        llama_batch_free(b);
        CHECK_EQ(rc, 0);
    }

    // "begin-end" of what the query at pos of seq sees, asked with the cell that a plain search finds for it
    std::string range(llama_seq_id seq, llama_pos pos) {
        const auto * kv = dynamic_cast<llama_kv_cache_ann *>(memory());
        CHECK(kv != nullptr);
        const auto & cells = kv->get_cells(seq);
        int32_t r[2], expected = 0;
        for (uint32_t j = 0; j < cells.size(); ++j) {
            if (!cells.is_empty(j) && cells.seq_has(j, seq) && cells.pos_get(j) == pos) {
                if (!kv->find_range(seq, pos, j, r)) {
                    return "none";
                }
                for (uint32_t i = 0; i < cells.size(); ++i) { // the range is what the mask would show
                    const bool visible = !cells.is_empty(i) && cells.seq_has(i, seq) && cells.pos_get(i) <= pos;
                    CHECK_EQ(visible, (int32_t) i >= r[0] && (int32_t) i < r[1]);
                    expected += visible;
                }
                CHECK_EQ(r[1] - r[0], expected);
                return std::to_string(r[0]) + "-" + std::to_string(r[1]);
            }
        }
        return "not there";
    }
};

} // namespace

TEST("a sequence that lies contiguous is one range, through all that sequences go through") {
    sequences s(true);
    s.decode(0, 50);
    CHECK_EQ(s.range(0, 49), std::string("0-50"));
    CHECK_EQ(s.range(0, 20), std::string("0-21"));
    s.decode(1, 30);
    CHECK_EQ(s.range(1, 29), std::string("50-80"));
    s.decode(0, 1); // behind the other one's cells
    CHECK_EQ(s.range(0, 50), std::string("none"));
    CHECK_EQ(s.range(1, 29), std::string("50-80"));
    llama_memory_seq_rm(s.memory(), 0, 50, -1);
    CHECK_EQ(s.range(0, 49), std::string("0-50"));
    llama_memory_seq_rm(s.memory(), 0, 10, 20); // a gap
    CHECK_EQ(s.range(0, 49), std::string("none"));
    llama_memory_seq_add(s.memory(), 0, 20, -1, -10);
    CHECK_EQ(s.range(0, 39), std::string("none")); // positions follow, cells do not
    CHECK_EQ(s.range(0, 9), std::string("none"));  // conservative: a later one is elsewhere
    llama_memory_seq_rm(s.memory(), 0, 10, -1);
    CHECK_EQ(s.range(0, 9), std::string("0-10"));
    llama_memory_seq_rm(s.memory(), 0, 0, 4); // from the front
    CHECK_EQ(s.range(0, 9), std::string("4-10"));
    llama_memory_seq_cp(s.memory(), 1, 0, -1, -1); // its positions 0 to 29 too
    CHECK_EQ(s.range(0, 9), std::string("none"));
    CHECK_EQ(s.range(1, 29), std::string("50-80"));
    llama_memory_clear(s.memory(), true);
    s.decode(1, 5);
    CHECK_EQ(s.range(1, 4), std::string("0-5"));
}

TEST("streams have ranges of their own") {
    sequences s(false);
    s.decode(0, 20);
    s.decode(1, 30);
    s.decode(0, 2);
    CHECK_EQ(s.range(0, 21), std::string("0-22"));
    CHECK_EQ(s.range(1, 29), std::string("0-30"));
}

TEST("what a GPU leaves to the CPU is named, with what to change") {
    const auto gpu = make_emulated(true, 4);
    const std::function<bool(const ggml_tensor *)> nothing;
    bool kv_on_gpu = true, search_on_gpu = true;
    auto said = [&](const llama_ann_params & params, ggml_type k, ggml_type v, ggml_type s) {
        const std::function<bool(const ggml_tensor *)> supports = [&](const ggml_tensor * op) { return gpu->supports(op); };
        return llama_ann_describe_fallback(*model(), params, 0, k, v, s, kv_on_gpu ? supports : nothing, search_on_gpu ? supports : nothing);
    };
    auto params = exact();
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        CHECK_EQ(said(params, type, type, GGML_TYPE_Q8_0), std::string());
    }
    CHECK_CONTAINS(said(params, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_F16), "K in f16 and V in q8_0");
    CHECK_CONTAINS(said(params, GGML_TYPE_Q5_1, GGML_TYPE_Q5_1, GGML_TYPE_F16), "K in q5_1 and V in q5_1");
    params.top_k = 5000;
    CHECK_CONTAINS(said(params, GGML_TYPE_F16, GGML_TYPE_F16, GGML_TYPE_F16), "top_k 5000");
    params = exact();
    params.selector = LLAMA_ANN_SELECTOR_ORACLE;
    CHECK_CONTAINS(said(params, GGML_TYPE_F16, GGML_TYPE_F16, GGML_TYPE_F16), "selector");
    params = exact();
    params.mode = LLAMA_ANN_MODE_HNSW;
    CHECK_CONTAINS(said(params, GGML_TYPE_F16, GGML_TYPE_F16, GGML_TYPE_F16), "use mode exact");
    params.mode = LLAMA_ANN_MODE_DENSE;
    CHECK_EQ(said(params, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_F16), std::string());
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
