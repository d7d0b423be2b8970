// The cells that a context chooses, against double precision, in every position of a 2k prompt.
//
// Two steps, each against something simpler: the search vectors that reach the op against the projection of the hidden
// state in double precision (normalised and rotated), and the op's choice against a full sort of double scores.

#include "../check.h"

#include "ggml-backend.h"
#include "llama-ann.h"
#include "llama-model.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>

namespace {

struct observer {
    const llama_model * model = nullptr;
    int32_t n_done = 0;      // tokens before this batch
    std::vector<std::vector<float>> hidden; // [layer] of this batch, n_embd rows
    double  worst_vector = 0.0; // largest distance of a unit search vector from its double-precision value
    int64_t n_rows = 0, n_exact = 0;
    std::string failure;

    static bool call(ggml_tensor * t, bool ask, void * self) {
        const bool is_hidden = std::strncmp(t->name, "attn_norm-", 10) == 0;
        const bool is_topk   = std::strncmp(t->name, LLAMA_ANN_NODE_TOPK "-", 9) == 0;
        if (ask) {
            return is_hidden || is_topk;
        }
        auto & o = *(observer *) self;
        const int32_t il = std::atoi(std::strrchr(t->name, '-') + 1);
        if (is_hidden) {
            o.hidden[il].assign((float *) t->data, (float *) t->data + ggml_nelements(t));
        } else {
            o.check(t, il);
        }
        return true;
    }

    // W x in double, rotated, as a unit vector
    std::vector<double> project(const ggml_tensor * w, const float * x, int32_t pos) const {
        const int64_t n = w->ne[0], d = w->ne[1];
        std::vector<double> res(d, 0.0);
        std::vector<float> row(n);
        for (int64_t i = 0; i < d; ++i) {
            ggml_get_type_traits(w->type)->to_float((const char *) w->data + i*w->nb[1], row.data(), n);
            for (int64_t e = 0; e < n; ++e) {
                res[i] += (double) row[e]*x[e];
            }
        }
        const auto & ann = llama_ann_get_model(model);
        const int64_t half = ann.n_rot/2;
        for (int64_t i = 0; i < half; ++i) {
            const double theta = pos*std::pow((double) ann.freq_base, -2.0*i/ann.n_rot);
            const double a = res[i], b = res[i + half];
            res[i]        = a*std::cos(theta) - b*std::sin(theta);
            res[i + half] = b*std::cos(theta) + a*std::sin(theta);
        }
        return unit(res);
    }

    static std::vector<double> unit(std::vector<double> v) {
        double n = 0.0;
        for (double x : v) {
            n += x*x;
        }
        for (double & x : v) {
            x /= std::sqrt(n);
        }
        return v;
    }

    void compare_vector(const std::vector<double> & expected, const std::vector<double> & got) {
        double d = 0.0;
        for (size_t i = 0; i < got.size(); ++i) {
            d += (expected[i] - got[i])*(expected[i] - got[i]);
        }
        worst_vector = std::max(worst_vector, std::sqrt(d));
    }

    void check(const ggml_tensor * t, int32_t il) {
        const ggml_tensor * q = t->src[0];
        const ggml_tensor * k = t->src[1];
        const ggml_tensor * always = t->src[3];
        const int64_t d = q->ne[0], n_tokens = q->ne[1], n_embd = model->hparams.n_embd;

        std::vector<float> keys((n_done + n_tokens)*d);
        for (int64_t j = 0; j < n_done + n_tokens; ++j) {
            ggml_get_type_traits(k->type)->to_float((const char *) k->data + j*k->nb[1], keys.data() + j*d, d);
        }
        for (int64_t i = 0; i < n_tokens; i += 37) {
            const float * x = hidden[il].data() + i*n_embd;
            const float * qi = (const float *) ((const char *) q->data + i*q->nb[1]);
            const float * ki = keys.data() + (n_done + i)*d;
            compare_vector(project(model->layers[il].indexer_proj,   x, n_done + (int32_t) i), unit(std::vector<double>(qi, qi + d)));
            compare_vector(project(model->layers[il].indexer_attn_k, x, n_done + (int32_t) i), std::vector<double>(ki, ki + d));
        }
        for (int64_t i = 0; i < n_tokens; ++i) {
            check_row(t, always, (const float *) ((const char *) q->data + i*q->nb[1]), keys, i, il);
        }
    }

    void check_row(const ggml_tensor * t, const ggml_tensor * always, const float * q, const std::vector<float> & keys, int64_t i, int32_t il) {
        const auto & ann = llama_ann_get_model(model);
        const int64_t n_top_k = t->ne[0], n_visible = n_done + i + 1, d = ann.n_embd_search;

        // sinks, window, then the best of the rest: position = cell in this context
        std::vector<int32_t> expected;
        std::vector<std::pair<double, int32_t>> rest;
        for (int64_t j = 0; j < n_visible; ++j) {
            if (j < ann.n_sink || j >= n_visible - ann.n_window) {
                expected.push_back((int32_t) j);
                continue;
            }
            double x = 0.0;
            for (int64_t e = 0; e < d; ++e) {
                x += (double) q[e]*keys[j*d + e];
            }
            rest.emplace_back(-x, (int32_t) j);
        }
        std::sort(rest.begin(), rest.end());
        const size_t n_search = std::min<size_t>(rest.size(), n_top_k - ann.n_sink - ann.n_window);
        for (size_t r = 0; r < n_search; ++r) {
            expected.push_back(rest[r].second);
        }
        std::sort(expected.begin(), expected.end());
        const int32_t * row = (const int32_t *) ((const char *) t->data + i*t->nb[1]);
        std::vector<int32_t> got(row, row + n_top_k);
        const size_t n_padding = n_top_k - expected.size();
        ++n_rows;
        if (always->ne[0] != ann.n_sink + ann.n_window || std::count(got.begin(), got.end(), -1) != (int64_t) n_padding) {
            failure = "layer " + std::to_string(il) + ", position " + std::to_string(n_visible - 1) + ": wrong number of cells";
            return;
        }
        got.resize(expected.size());
        if (got == expected) {
            ++n_exact;
            return;
        }
        // f32 sums may swap two cells only where their double scores agree to 1e-6 of the query's length
        double norm = 0.0;
        for (int64_t e = 0; e < d; ++e) {
            norm += (double) q[e]*q[e];
        }
        std::vector<int32_t> wrong;
        std::set_symmetric_difference(got.begin(), got.end(), expected.begin(), expected.end(), std::back_inserter(wrong));
        for (int32_t j : wrong) {
            const auto it = std::find_if(rest.begin(), rest.end(), [&](const auto & x) { return x.second == j; });
            if (it == rest.end() || std::abs(it->first - rest[n_search - 1].first) > 1e-6*std::sqrt(norm)) {
                failure = "layer " + std::to_string(il) + ", position " + std::to_string(n_visible - 1) + ": cell " + std::to_string(j);
            }
        }
    }
};

} // namespace

TEST("selection equals double precision in every position of a 2k prompt, all layers") {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    ggml_backend_load_all_from_path(ANN_BIN_DIR);
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model(
        llama_model_load_from_file(ANN_MODELS_DIR "/ann-rotated-d64-q8_0.gguf", llama_model_default_params()), llama_model_free);
    CHECK(model != nullptr);

    std::ifstream in(ANN_TEST_DATA_DIR "/heldout-131k.txt", std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<llama_token> tokens(12000);
    const int32_t n = llama_tokenize(llama_model_get_vocab(model.get()), text.data(), 10000, tokens.data(), 12000, false, false);
    CHECK(n > 2048);
    tokens.resize(2048);

    const auto & ann = llama_ann_get_model(model.get());
    llama_ann_params params;
    params.top_k    = ann.top_k;
    params.n_sink   = ann.n_sink;
    params.n_window = ann.n_window;
    params.layers.assign(12, 1);
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 2304;
    cp.n_threads = cp.n_threads_batch = 2;
    std::unique_ptr<llama_context, decltype(&llama_free)> ctx(llama_ann_init_from_model(model.get(), cp, params, GGML_TYPE_F16), llama_free);
    CHECK(ctx != nullptr);

    observer o;
    o.model = model.get();
    o.hidden.resize(12);
    llama_ann_set_eval_callback(ctx.get(), observer::call, &o);
    for (int32_t i = 0; i < 2048;) {
        const int32_t chunk = i < 2000 ? 500 : 1; // prefill, then decode
        CHECK_EQ(llama_decode(ctx.get(), llama_batch_get_one(tokens.data() + i, chunk)), 0);
        i += chunk;
        o.n_done = i;
    }
    std::printf("     %lld of %lld rows identical, the others differ in ties of rounding; search vectors within %.1e\n",
        (long long) o.n_exact, (long long) o.n_rows, o.worst_vector);
    CHECK_EQ(o.failure, std::string());
    CHECK_EQ(o.n_rows, (int64_t) 2048*12);
    CHECK(o.n_exact > o.n_rows*99/100);
    CHECK_LE(o.worst_vector, 3e-3); // f16 weights, f16 activations in the product, f16 keys
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
