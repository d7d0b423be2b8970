// Perplexity of the held-out text, as the PyTorch reference computes it: windows of 4096 tokens, 4095 targets each.
#pragma once

#include "harness.h"

namespace figures {

using namespace harness;

constexpr int N_CTX = 4096;

inline double log_sum_exp(const float * x, size_t n) {
    float max = x[0];
    for (size_t i = 1; i < n; ++i) {
        max = std::max(max, x[i]);
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        sum += std::exp(x[i] - max); // in float: 8192 terms, 1e-7 each
    }
    return max + std::log(sum);
}

inline double perplexity(ann_context * c, int n_windows) {
    double nll = 0.0;
    int64_t n_targets = 0;
    for (int w = 0; w < n_windows; ++w) {
        OK(ann_context_clear(c, &e_));
        const auto window = slice((size_t) w*N_CTX, N_CTX);
        for (int i = 0; i < N_CTX; i += 512) {
            OK(try_decode(c, std::vector<int32_t>(window.begin() + i, window.begin() + i + 512), &e_, 0, true));
            for (int j = 0; j < 512 && i + j + 1 < N_CTX; ++j) {
                const float * p = nullptr;
                size_t n = 0;
                OK(ann_context_get_logits(c, j, &p, &n, &e_));
                nll += log_sum_exp(p, n) - p[window[i + j + 1]];
                ++n_targets;
            }
        }
    }
    return std::exp(nll/n_targets);
}

inline void set_search(ann_context * c, int32_t mode, int32_t top_k, const std::vector<int32_t> & layers) {
    ann_search_params s;
    ann_search_params_default(&s);
    s.mode = mode;
    s.top_k = top_k;
    s.n_layers = (int32_t) layers.size();
    s.layers = layers.data();
    OK(ann_context_set_search(c, &s, &e_));
}

// per layer, over what was measured since ann_context_set_stats
struct layer_figures {
    std::vector<double> mass, recall;
    uint64_t n_measured = 0;
};

inline layer_figures measured(ann_context * c) {
    layer_figures res;
    for (int il = 0; il < 12; ++il) {
        ann_layer_stats s = {};
        s.struct_size = sizeof(s);
        OK(ann_context_get_layer_stats(c, il, &s, &e_));
        res.mass.push_back(s.mass_sum/s.n_measured);
        res.recall.push_back(s.recall_teacher_sum/s.n_measured);
        res.n_measured = s.n_measured;
    }
    return res;
}

} // namespace figures
