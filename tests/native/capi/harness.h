// A thin C++ face of the C ABI for tests: throws with the library's sentence.
#pragma once

#include "../temporary.h"

#include "ann-runtime.h"
#include "ggml-cpp.h"
#include "gguf.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>

namespace harness {

inline ann_error new_error() {
    ann_error e = {};
    e.struct_size = sizeof(e);
    return e;
}

inline void ok(ann_status status, const ann_error & error) {
    if (status != ANN_OK) {
        throw test_failure("status " + std::to_string(status) + ": " + error.message);
    }
}

#define OK(call) do { ann_error e_ = harness::new_error(); harness::ok(call, e_); } while (0)

// the call must fail with this status, and say this
#define REFUSED(expected_status, text, call)                                       \
    do {                                                                           \
        ann_error e_ = harness::new_error();                                       \
        const ann_status s_ = call;                                                \
        CHECK_EQ((int) s_, (int) expected_status);                                 \
        CHECK_EQ(e_.status, (int) expected_status);                                \
        CHECK_CONTAINS(e_.message, text);                                          \
    } while (0)

inline std::string model_path() { return std::string(ANN_MODELS_DIR) + "/ann-rotated-d64-q8_0.gguf"; }

using model_ptr   = std::unique_ptr<ann_model, decltype(&ann_model_free)>;
using context_ptr = std::unique_ptr<ann_context, decltype(&ann_context_free)>;

inline void quiet() { ann_log_set(nullptr, nullptr); }

inline model_ptr load(const std::string & path = model_path()) {
    quiet();
    ann_model * m = nullptr;
    OK(ann_model_load(path.c_str(), nullptr, &m, &e_));
    return model_ptr(m, ann_model_free);
}

inline ann_model * model() {
    static model_ptr m = load();
    return m.get();
}

// the embedded model with its weights widened to f32 (exact), written once per process to a temporary file
inline ann_model * f32_model() {
    static model_ptr m = [] {
        ggml_context * data = nullptr;
        gguf_context_ptr file(gguf_init_from_file(model_path().c_str(), { false, &data }));
        ggml_context_ptr owner(data);
        gguf_context_ptr out(gguf_init_empty());
        gguf_set_kv(out.get(), file.get());
        ggml_context_ptr wide(ggml_init({ (size_t) 200 << 20, nullptr, false }));
        for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
            const ggml_tensor * t = ggml_get_tensor(data, gguf_get_tensor_name(file.get(), i));
            ggml_tensor * w = ggml_new_tensor(wide.get(), GGML_TYPE_F32, ggml_n_dims(t), t->ne);
            ggml_set_name(w, t->name);
            if (t->type == GGML_TYPE_F32) {
                std::memcpy(w->data, t->data, ggml_nbytes(t));
            } else {
                ggml_get_type_traits(t->type)->to_float(t->data, (float *) w->data, ggml_nelements(t));
            }
            gguf_add_tensor(out.get(), w);
        }
        const std::string path = temporary_file("f32");
        if (!gguf_write_to_file(out.get(), path.c_str(), false)) {
            throw test_failure("cannot write " + path);
        }
        model_ptr res = load(path); // mapped: the name may go
        std::remove(path.c_str());
        return res;
    }();
    return m.get();
}

inline ann_context_params params(uint32_t n_ctx, int32_t mode, int32_t top_k = 0) {
    ann_context_params p;
    ann_context_params_default(&p);
    p.n_ctx = n_ctx;
    const char * threads = std::getenv("ANN_TEST_THREADS"); // for long runs on larger machines
    p.n_threads = threads ? std::atoi(threads) : 2;
    p.search.mode = mode;
    p.search.top_k = top_k;
    return p;
}

inline context_ptr create(const ann_context_params & p, ann_model * m = model()) {
    ann_context * c = nullptr;
    OK(ann_context_create(m, &p, &c, &e_));
    return context_ptr(c, ann_context_free);
}

inline std::vector<int32_t> tokenize(const std::string & text, ann_model * m = model()) {
    std::vector<int32_t> res(text.size() + 8);
    size_t n = 0;
    OK(ann_tokenize(m, text.data(), text.size(), 0, 1, res.data(), res.size(), &n, &e_));
    res.resize(n);
    return res;
}

inline std::string read_text(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw test_failure("cannot read " + path);
    }
    return std::string(std::istreambuf_iterator<char>(in), {});
}

inline const std::vector<int32_t> & heldout() {
    static const std::vector<int32_t> tokens = tokenize(read_text(std::string(ANN_TEST_DATA_DIR) + "/heldout-131k.txt"));
    return tokens;
}

inline ann_status try_decode(ann_context * c, const std::vector<int32_t> & tokens, ann_error * error, int32_t seq = 0, bool all_outputs = false) {
    std::vector<int32_t> sequences(tokens.size(), seq);
    std::vector<int8_t> outputs(tokens.size(), 1);
    ann_batch b = {};
    b.struct_size = sizeof(b);
    b.n_tokens  = (uint32_t) tokens.size();
    b.tokens    = tokens.data();
    b.sequences = sequences.data();
    b.outputs   = all_outputs ? outputs.data() : nullptr;
    return ann_context_decode(c, &b, error);
}

inline std::vector<float> logits(ann_context * c, int32_t index = -1) {
    const float * p = nullptr;
    size_t n = 0;
    OK(ann_context_get_logits(c, index, &p, &n, &e_));
    return std::vector<float>(p, p + n);
}

// decodes in chunks of n_batch, returns the last logits
inline std::vector<float> feed(ann_context * c, const std::vector<int32_t> & tokens, int32_t seq = 0, size_t chunk = 512) {
    for (size_t i = 0; i < tokens.size(); i += chunk) {
        const std::vector<int32_t> part(tokens.begin() + i, tokens.begin() + std::min(tokens.size(), i + chunk));
        OK(try_decode(c, part, &e_, seq));
    }
    return logits(c);
}

inline std::vector<int32_t> slice(size_t from, size_t n) {
    return std::vector<int32_t>(heldout().begin() + from, heldout().begin() + from + n);
}

inline int32_t argmax(const std::vector<float> & v) {
    size_t best = 0;
    for (size_t i = 1; i < v.size(); ++i) {
        best = v[i] > v[best] ? i : best;
    }
    return (int32_t) best;
}

// n greedy tokens after the last logits
inline std::vector<int32_t> greedy(ann_context * c, int n, int32_t seq = 0) {
    std::vector<int32_t> res;
    for (int i = 0; i < n; ++i) {
        res.push_back(argmax(logits(c)));
        OK(try_decode(c, { res.back() }, &e_, seq));
    }
    return res;
}

// root mean square of the difference over that of a
inline double relative(const std::vector<float> & a, const std::vector<float> & b) {
    double d = 0.0, n = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        d += ((double) a[i] - b[i])*((double) a[i] - b[i]);
        n += (double) a[i]*a[i];
    }
    return std::sqrt(d/n);
}

} // namespace harness
