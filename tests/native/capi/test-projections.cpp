// Other projections of the same base model, merged here from models/projections, against the PyTorch reference
// (tests/data/reference-content.json, models/cards).
//
// The reference has 32 windows of 4096 tokens; all of them take half an hour on two cores and run only with
// ANN_TEST_LONG=1. Without it the content projections are compared on one window by its own figures
// (reference-windows.json), those of 128 dims with what one window can show of eight.

#include "reference.h"

#include <cstdlib>

using namespace figures;

namespace {

bool is_long() { return std::getenv("ANN_TEST_LONG") != nullptr; }

struct projections {
    int d = 0;
    bool rotated = false;
    const char * file;
};

// the embedded model with other projections
model_ptr merge(const projections & p) {
    const std::string bytes = read_text(std::string(ANN_MODELS_DIR) + "/projections/" + p.file);
    uint64_t n_header = 0;
    std::memcpy(&n_header, bytes.data(), 8);
    const json header = json::parse(bytes.substr(8, n_header));

    ggml_context * data = nullptr;
    gguf_context_ptr file(gguf_init_from_file(model_path().c_str(), { false, &data }));
    ggml_context_ptr owner(data), extra(ggml_init({ 32 << 20, nullptr, false }));
    gguf_context_ptr out(gguf_init_empty());
    gguf_set_kv(out.get(), file.get());
    gguf_set_val_u32(out.get(), "qwen3.attention.indexer.key_length", (uint32_t) p.d);
    if (!p.rotated) {
        gguf_set_val_str(out.get(), "ann_sparse.metric", "ip");
        gguf_set_val_u32(out.get(), "ann_sparse.window", 0);
        gguf_set_val_u32(out.get(), "ann_sparse.sinks", 0);
    }
    gguf_set_val_u32(out.get(), "ann_sparse.rope.dimension_count", p.rotated ? (uint32_t) p.d : 0);
    gguf_set_val_f32(out.get(), "ann_sparse.rope.freq_base", 10000.0f);
    for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
        const char * name = gguf_get_tensor_name(file.get(), i);
        if (!std::strstr(name, "indexer")) {
            gguf_add_tensor(out.get(), ggml_get_tensor(data, name));
        }
    }
    for (int il = 0; il < 12; ++il) {
        for (const auto & [from, to] : { std::make_pair("W_Qs", "proj"), std::make_pair("W_Ks", "attn_k") }) {
            const json & entry = header.at("projections." + std::to_string(il) + "." + from + ".weight");
            CHECK(entry["shape"] == json::array({ p.d, 384 }) && (entry["dtype"] == "F32" || entry["dtype"] == "F16"));
            ggml_tensor * t = ggml_new_tensor_2d(extra.get(), entry["dtype"] == "F32" ? GGML_TYPE_F32 : GGML_TYPE_F16, 384, p.d);
            ggml_set_name(t, ("blk." + std::to_string(il) + ".indexer." + to + ".weight").c_str());
            std::memcpy(t->data, bytes.data() + 8 + n_header + entry["data_offsets"][0].get<size_t>(), ggml_nbytes(t));
            gguf_add_tensor(out.get(), t);
        }
    }
    const std::string path = temporary_file("merged");
    CHECK(gguf_write_to_file(out.get(), path.c_str(), false));
    model_ptr res = load(path);
    std::remove(path.c_str());
    return res;
}

} // namespace

TEST("content projections (metric ip): recall and mass per layer on the full-attention trajectory, perplexity") {
    const json all   = json::parse(read_text(std::string(ANN_TEST_DATA_DIR) + "/reference-content.json"));
    const json first = json::parse(read_text(std::string(ANN_TEST_DATA_DIR) + "/reference-windows.json"));
    const json & window = window_of(first, N_CTX);
    const json of_all = { { "mass", all["per_layer"]["mass_learned"]["128"] }, { "recall_teacher", all["per_layer"]["recall_learned"]["128"] } };
    const double full = is_long() ? all["perplexity"]["full"]["nll"] : window["dense_nll"];
    const double pilot = is_long() ? all["perplexity"]["sparse"]["pilot"]["256"]["nll"] : row_of(window, "content", "pilot", 256, "own")["nll"];
    const int n_windows = is_long() ? 32 : 1;

    auto m = merge({ 64, false, "projections-content-d64.safetensors" });
    auto c = create(params(N_CTX, ANN_SEARCH_DENSE, 128), m.get());
    OK(ann_context_set_stats(c.get(), ANN_STATS_MASS, 1, &e_));
    const double dense = perplexity(c.get(), n_windows);
    std::printf("     dense perplexity %.4f (PyTorch %.4f)\n", dense, std::exp(full));
    CHECK_LE(worst_difference(measured(c.get()), is_long() ? of_all : row_of(window, "content", "all", 128, "dense")), 0.01);
    CHECK_LE(std::abs(dense/std::exp(full) - 1.0), 0.002);
    OK(ann_context_set_stats(c.get(), 0, 1, &e_));
    set_search(c.get(), ANN_SEARCH_EXACT, 256, { 2, 4, 6, 8 });
    const double gap = (perplexity(c.get(), n_windows)/dense - 1.0)*100.0, expected = (std::exp(pilot - full) - 1.0)*100.0;
    std::printf("     pilot K = 256: gap %+.2f %% (PyTorch %+.2f %%)\n", gap, expected);
    CHECK_LE(std::abs(gap/expected - 1.0), 0.05); // a broken selection is chaotic: roughly
}

TEST("rotated projections of 128 dims: gaps") {
    auto m = merge({ 128, true, "projections-rotated-d128.safetensors" });
    const int n_windows = is_long() ? 8 : 1;
    auto c = create(params(N_CTX, ANN_SEARCH_DENSE), m.get());
    const double dense = perplexity(c.get(), n_windows);
    const std::vector<int32_t> all = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    for (const auto & [top_k, expected] : { std::make_pair(128, 3.05), std::make_pair(256, 1.19) }) {
        set_search(c.get(), ANN_SEARCH_EXACT, top_k, all);
        const double gap = (perplexity(c.get(), n_windows)/dense - 1.0)*100.0;
        std::printf("     K = %d: gap %+.2f %% (PyTorch %+.2f %% over 8 windows)\n", top_k, gap, expected);
        CHECK_LE(std::abs(gap - expected), is_long() ? 0.3 : 1.5);
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
