#pragma once

// Top-k on a target against double precision and the CPU's.

#include "gpu-graph.h"

#include <algorithm>
#include <cmath>

enum class keys_like { normal, ties, close }; // close: all scores in a narrow range, as of trained keys

struct topk_case {
    int64_t d = 64, n_kv = 500, n_tokens = 1, n_stream = 1;
    int32_t n_top_k = 40, n_always = 0;
    ggml_type type = GGML_TYPE_F16, type_mask = GGML_TYPE_F16;
    double    visible = 0.9; // share of cells
    keys_like keys = keys_like::normal;
};

struct topk_data {
    std::vector<float>   q, k, mask;
    std::vector<int32_t> always, ranges; // ranges: of a mask that is made of them

    topk_data(const topk_case & c, std::mt19937 & rng) :
        q(normal(c.d*c.n_tokens*c.n_stream, rng, 3.0f)), k(normal(c.d*c.n_kv*c.n_stream, rng, 0.1f)),
        mask(c.n_kv*c.n_tokens*c.n_stream), always(c.n_always*c.n_tokens*c.n_stream, -1) {
        for (size_t i = c.d; c.keys == keys_like::ties && i < k.size(); ++i) {
            k[i] = k[i % (3*c.d)];
        }
        for (size_t i = 0; c.keys == keys_like::close && i < k.size(); ++i) {
            k[i] = 0.1f*q[i % c.d] + 0.02f*k[i];
        }
        std::bernoulli_distribution is_visible(c.visible);
        for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
            int32_t n = 0;
            const bool by_range = c.type_mask == GGML_TYPE_I32;
            const int64_t n_range = (int64_t) (c.visible*c.n_kv), first = rng() % (c.n_kv - n_range + 1);
            if (by_range) {
                ranges.push_back((int32_t) first);
                ranges.push_back((int32_t) (first + n_range));
            }
            for (int64_t j = 0; j < c.n_kv; ++j) {
                const bool v = by_range ? j >= first && j < first + n_range : is_visible(rng);
                mask[row*c.n_kv + j] = v ? 0.0f : -INFINITY;
                if (v && n < c.n_always && rng() % 4 == 0) {
                    always[row*c.n_always + n++] = (int32_t) j;
                }
            }
        }
    }
};

inline std::vector<int32_t> compute_topk(const topk_case & c, const topk_data & data, target & where, std::vector<float> & stored) {
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, c.d, c.n_tokens, 1, c.n_stream);
    auto * k = g.tensor(c.type, c.d, c.n_kv, 1, c.n_stream);
    auto * m = g.tensor(c.type_mask, c.type_mask == GGML_TYPE_I32 ? 2 : c.n_kv, c.n_tokens, 1, c.n_stream);
    auto * a = c.n_always > 0 ? g.tensor(GGML_TYPE_I32, c.n_always, c.n_tokens, 1, c.n_stream) : nullptr;
    auto * r = ggml_ann_topk(g.ctx.get(), q, k, m, a, c.n_top_k);
    g.run(where, r, [&] {
        set_floats(q, data.q);
        set_floats(k, data.k);
        if (c.type_mask == GGML_TYPE_I32) {
            ggml_backend_tensor_set(m, data.ranges.data(), 0, ggml_nbytes(m));
        } else {
            set_floats(m, data.mask);
        }
        if (a) {
            ggml_backend_tensor_set(a, data.always.data(), 0, ggml_nbytes(a));
        }
    });
    stored = to_floats(k);
    return to_ints(r);
}

inline void check_topk_row(const topk_case & c, const topk_data & data, const std::vector<float> & stored, int64_t row, const int32_t * got) {
    const int64_t s = row/c.n_tokens;
    const int32_t * always = data.always.data() + row*c.n_always;
    std::vector<int32_t> expected(always, std::find(always, always + c.n_always, -1));
    std::vector<bool> taken(c.n_kv, false);
    for (int32_t j : expected) {
        taken[j] = true;
    }
    std::vector<std::pair<double, int32_t>> scores;
    std::vector<double> score_of(c.n_kv, NAN);
    double terms = 0.0; // the largest sum of the sizes of a score's terms: what rounding is relative to
    for (int64_t j = 0; j < c.n_kv; ++j) {
        if (data.mask[row*c.n_kv + j] != 0.0f || taken[j]) {
            continue;
        }
        double x = 0.0, size = 0.0;
        for (int64_t i = 0; i < c.d; ++i) {
            const double term = (double) data.q[row*c.d + i]*stored[(s*c.n_kv + j)*c.d + i];
            x += term;
            size += std::abs(term);
        }
        scores.emplace_back(-x, (int32_t) j);
        score_of[j] = x;
        terms = std::max(terms, size);
    }
    std::sort(scores.begin(), scores.end());
    const size_t n_search = std::min<size_t>(scores.size(), c.n_top_k - c.n_always);
    for (size_t i = 0; i < n_search; ++i) {
        expected.push_back(scores[i].second);
    }
    std::sort(expected.begin(), expected.end());
    const std::vector<int32_t> actual(got, got + expected.size());
    for (int32_t i = (int32_t) expected.size(); i < c.n_top_k; ++i) {
        CHECK_EQ(got[i], -1);
    }
    CHECK(std::is_sorted(actual.begin(), actual.end()));
    CHECK(std::adjacent_find(actual.begin(), actual.end()) == actual.end());
    if (actual == expected) {
        return;
    }
    // equal keys must have equal scores; otherwise two right sums may order two cells differently if they agree to rounding
    CHECK(c.keys != keys_like::ties || c.type == GGML_TYPE_Q8_0);
    std::vector<int32_t> wrong;
    std::set_symmetric_difference(actual.begin(), actual.end(), expected.begin(), expected.end(), std::back_inserter(wrong));
    for (int32_t j : wrong) {
        CHECK(j >= 0 && j < c.n_kv && !std::isnan(score_of[j]));
        CHECK_LE(std::abs(score_of[j] + scores[n_search - 1].first), terms*(c.type == GGML_TYPE_Q8_0 ? 1e-4 : 2e-6));
    }
}

inline void check_topk(const topk_case & c, uint32_t seed, target & where) {
    std::mt19937 rng(seed);
    const topk_data data(c, rng);
    std::vector<float> stored;
    const auto got = compute_topk(c, data, where, stored);
    backend_target cpu(ops::cpu());
    const auto cpus = compute_topk(c, data, cpu, stored);
    for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
        check_topk_row(c, data, stored, row, got.data()  + row*c.n_top_k);
        check_topk_row(c, data, stored, row, cpus.data() + row*c.n_top_k);
        if (c.keys == keys_like::ties) { // equal scores: the same choice everywhere
            CHECK(std::equal(got.begin() + row*c.n_top_k, got.begin() + (row + 1)*c.n_top_k, cpus.begin() + row*c.n_top_k));
        }
    }
}
