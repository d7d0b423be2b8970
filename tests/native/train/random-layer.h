// What both objectives are tested on: one random layer of a window, weights, queries, and ways to learn.
#pragma once

#include "train/objective.h"

#include <algorithm>
#include <random>
#include <utility>

namespace ann {

constexpr int32_t T = 150, D = 40, HEADS = 4, HEADS_KV = 2, DK = 16;

inline captured_layer random_layer(unsigned seed, float softcap = 0.0f, int32_t n_tokens = T) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    captured_layer x;
    x.layer = 0, x.n_tokens = n_tokens, x.n_embd = D, x.n_head = HEADS, x.n_head_kv = HEADS_KV, x.n_embd_head = DK;
    x.kq_scale = 0.4f, x.softcap = softcap;
    for (auto [v, n] : { std::pair<std::vector<float> *, int>(&x.h, D), { &x.q, HEADS*DK }, { &x.k, HEADS_KV*DK } }) {
        v->resize((size_t) n_tokens*n);
        std::generate(v->begin(), v->end(), [&] { return normal(random); });
    }
    return x;
}

// the same as three documents of a packed window
inline captured_layer packed(captured_layer x) {
    x.starts.assign((size_t) x.n_tokens, 0);
    for (int32_t start : { x.n_tokens/4, x.n_tokens/4 + 5 }) { // the second is too short for a search
        std::fill(x.starts.begin() + start, x.starts.end(), start);
    }
    return x;
}

inline projection_pair random_weights(const search_shape & s, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.15f);
    projection_pair w;
    for (auto * v : { &w.q, &w.k }) {
        v->resize((size_t) s.n_embd_search*s.n_embd);
        std::generate(v->begin(), v->end(), [&] { return normal(random); });
    }
    return w;
}

inline std::vector<int32_t> some_queries() {
    std::vector<int32_t> res;
    for (int32_t i = 0; i < T; i += 1 + (i*7 % 3)) { // early ones have nothing to search; over one block of them
        res.push_back(i);
    }
    return res;
}

struct variant {
    const char *     name;
    search_shape     shape;
    objective_params params;
    float            softcap;
};

inline std::vector<variant> random_variants() {
    const search_shape rotated { D, 32, 32, 1000.0f, 8, 2 }, partial { D, 32, 16, 50.0f, 8, 2 }, still { D, 48, 0, 0.0f, 5, 0 };
    return {
        { "published",    rotated, { false, false, 1.0f, 0.0f, 1.0f, 0.07f, 5 }, 0.0f },
        { "kl",           still,   { false, false, 1.0f, 0.0f, 0.0f, 0.07f, 5 }, 0.0f },
        { "kl_unit",      rotated, { true,  true,  0.0f, 1.0f, 0.0f, 0.07f, 5 }, 0.0f },
        { "contrastive",  partial, { true,  false, 0.0f, 0.0f, 1.0f, 0.20f, 3 }, 0.0f },
        { "all, softcap", partial, { false, true,  0.3f, 0.5f, 0.7f, 0.10f, 7 }, 3.0f },
    };
}

} // namespace ann
