// Search keys and queries of a model that reads a text, for index-bench --keys.
//
//   key-dump MODEL TEXT TOKENS OUT
//
// OUT: "ANNKEYS1" | u32 n_layers | u32 dim | u32 n_tokens | for each searched layer: u32 layer, f32 key[n_tokens][dim],
// f32 query[n_tokens][dim], as attention gets them (rotated where the file says so). The tokens are read as one sequence,
// with exact search at the file's K.

#include "ggml-backend.h"
#include "llama-ann.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

struct layer_vectors {
    std::vector<float> keys, queries;
};

std::map<int, layer_vectors> found;

bool collect(ggml_tensor * t, bool ask, void *) {
    const bool is_whole = t->name[std::strcspn(t->name, " ")] == 0; // views of a tensor are called "NAME (view)"
    const bool is_key   = is_whole && std::strncmp(t->name, "ann_k-", 6) == 0;
    const bool is_query = is_whole && std::strncmp(t->name, "ann_q-", 6) == 0;
    if (ask || (!is_key && !is_query)) {
        return is_key || is_query;
    }
    auto & of  = found[std::atoi(t->name + 6)];
    auto & out = is_key ? of.keys : of.queries;
    const size_t n = out.size();
    out.resize(n + (size_t) ggml_nelements(t));
    ggml_backend_tensor_get(t, out.data() + n, 0, ggml_nbytes(t));
    return true;
}

[[noreturn]] void fail(const std::string & why) {
    std::fprintf(stderr, "key-dump: %s\n", why.c_str());
    std::exit(1);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 5) {
        fail("expected MODEL TEXT TOKENS OUT");
    }
    const int32_t n_tokens = std::atoi(argv[3]);
    llama_log_set([](ggml_log_level level, const char * text, void *) { if (level == GGML_LOG_LEVEL_ERROR) { std::fputs(text, stderr); } }, nullptr);
    ggml_backend_load_all_from_path(ANN_BIN_DIR);
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) {
        fail(std::string(argv[1]) + " cannot be loaded");
    }
    std::ifstream in(argv[2], std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<llama_token> tokens(text.size() + 1);
    const int32_t n = llama_tokenize(llama_model_get_vocab(model), text.data(), (int32_t) text.size(), tokens.data(),
        (int32_t) tokens.size(), true, false);
    if (n < n_tokens || n_tokens < 1) {
        fail(std::string(argv[2]) + " has " + std::to_string(n) + " tokens, " + argv[3] + " asked for");
    }

    const llama_ann_model & m = llama_ann_get_model(model);
    llama_ann_params p;
    p.top_k    = m.top_k;
    p.n_sink   = m.n_sink;
    p.n_window = m.n_window;
    p.layers.assign((size_t) llama_model_n_layer(model), 0);
    for (int32_t il : m.layers) {
        p.layers[(size_t) il] = 1;
    }
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx     = (uint32_t) n_tokens;
    cp.n_batch   = cp.n_ubatch = 512;
    cp.n_threads = cp.n_threads_batch = (int32_t) std::thread::hardware_concurrency();
    llama_context * ctx = llama_ann_init_from_model(model, cp, p, GGML_TYPE_Q8_0);
    if (!ctx) {
        fail("no context");
    }
    llama_ann_set_eval_callback(ctx, collect, nullptr);
    for (int32_t i = 0; i < n_tokens; i += 512) {
        if (llama_decode(ctx, llama_batch_get_one(tokens.data() + i, std::min(512, n_tokens - i))) != 0) {
            fail("decode failed");
        }
    }

    for (const auto & [il, of] : found) {
        if (of.keys.size() != (size_t) n_tokens*m.n_embd_search || of.queries.size() != of.keys.size()) {
            fail("layer " + std::to_string(il) + " gave " + std::to_string(of.keys.size()/m.n_embd_search) + " keys and " +
                std::to_string(of.queries.size()/m.n_embd_search) + " queries of " + argv[3] + " tokens");
        }
    }
    std::ofstream out(argv[4], std::ios::binary);
    const auto put = [&](uint32_t x) { out.write((const char *) &x, sizeof(x)); };
    out.write("ANNKEYS1", 8);
    put((uint32_t) found.size());
    put((uint32_t) m.n_embd_search);
    put((uint32_t) n_tokens);
    for (const auto & [il, of] : found) {
        put((uint32_t) il);
        out.write((const char *) of.keys.data(), (std::streamsize) (of.keys.size()*sizeof(float)));
        out.write((const char *) of.queries.data(), (std::streamsize) (of.queries.size()*sizeof(float)));
    }
    return out.good() ? 0 : 1;
}
