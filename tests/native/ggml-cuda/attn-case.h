#pragma once

// Attention on a target against double precision and the CPU's.

#include "gpu-graph.h"

#include <algorithm>
#include <cmath>

struct attn_case {
    int64_t dk = 64, dv = 64, n_kv = 300, n_head = 6, n_head_kv = 2, n_tokens = 1, n_stream = 1, n_list = 50;
    ggml_type type = GGML_TYPE_F16;
    bool  dense = false, sinks = false;
    float softcap = 0.0f;
};

struct attn_data {
    std::vector<float>   q, k, v, mask, sinks;
    std::vector<int32_t> list;

    attn_data(const attn_case & c, std::mt19937 & rng) :
        q(normal(c.dk*c.n_tokens*c.n_head*c.n_stream, rng, 2.0f)), k(normal(c.dk*c.n_kv*c.n_head_kv*c.n_stream, rng)),
        v(normal(c.dv*c.n_kv*c.n_head_kv*c.n_stream, rng)), mask(c.n_kv*c.n_tokens*c.n_stream, -INFINITY),
        sinks(normal(c.n_head, rng)), list(c.n_list*c.n_tokens*c.n_stream, -1) {
        std::vector<int32_t> cells(c.n_kv);
        for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
            for (int64_t j = 0; j < c.n_kv; ++j) {
                cells[j] = (int32_t) j;
            }
            std::shuffle(cells.begin(), cells.end(), rng);
            const int64_t n = row == 0 ? c.n_list : rng() % (c.n_list + 1); // also empty and short lists
            std::sort(cells.begin(), cells.begin() + n);
            std::copy(cells.begin(), cells.begin() + n, list.begin() + row*c.n_list);
            for (int64_t i = 0; i < n; ++i) {
                mask[row*c.n_kv + cells[i]] = 0.0f;
            }
        }
    }
};

inline std::vector<float> compute_attn(const attn_case & c, const attn_data & data, target & where, std::vector<float> & k_stored, std::vector<float> & v_stored) {
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, c.dk, c.n_tokens, c.n_head, c.n_stream);
    // as in the cache: rows of a cell hold all heads; the op gets permuted views
    auto * k_rows = g.tensor(c.type, c.dk, c.n_head_kv, c.n_kv, c.n_stream);
    auto * v_rows = g.tensor(c.type, c.dv, c.n_head_kv, c.n_kv, c.n_stream);
    auto * k = ggml_permute(g.ctx.get(), k_rows, 0, 2, 1, 3);
    auto * v = ggml_permute(g.ctx.get(), v_rows, 0, 2, 1, 3);
    auto * m = g.tensor(GGML_TYPE_F16, c.n_kv, c.n_tokens, 1, c.n_stream);
    auto * list  = g.tensor(GGML_TYPE_I32, c.n_list, c.n_tokens, 1, c.n_stream);
    auto * sinks = c.sinks ? g.tensor(GGML_TYPE_F32, c.n_head, 1) : nullptr;
    auto * r = ggml_ann_attn(g.ctx.get(), q, k, v, c.dense ? nullptr : list, m, sinks, 1.0f/std::sqrt((float) c.dk), c.softcap);
    g.run(where, r, [&] {
        set_floats(q, data.q);
        set_floats(k_rows, data.k);
        set_floats(v_rows, data.v);
        set_floats(m, data.mask);
        ggml_backend_tensor_set(list, data.list.data(), 0, ggml_nbytes(list));
        if (sinks) {
            set_floats(sinks, data.sinks);
        }
    });
    k_stored = to_floats(k_rows);
    v_stored = to_floats(v_rows);
    return to_floats(r);
}

inline std::vector<double> reference_attn(const attn_case & c, const attn_data & data, const std::vector<float> & k, const std::vector<float> & v) {
    std::vector<double> res(c.dv*c.n_head*c.n_tokens*c.n_stream, 0.0);
    for (int64_t i = 0; i < c.n_stream*c.n_tokens*c.n_head; ++i) {
        const int64_t h = i % c.n_head, t = i/c.n_head % c.n_tokens, s = i/c.n_head/c.n_tokens;
        const int64_t hk = h/(c.n_head/c.n_head_kv);
        const int32_t * cells = data.list.data() + (s*c.n_tokens + t)*c.n_list;
        double * out = res.data() + ((s*c.n_tokens + t)*c.n_head + h)*c.dv;
        double sum = c.sinks ? std::exp((double) data.sinks[h]) : 0.0;
        for (int64_t j = 0; j < c.n_list && cells[j] >= 0; ++j) {
            double x = 0.0;
            for (int64_t e = 0; e < c.dk; ++e) {
                x += (double) data.q[((s*c.n_head + h)*c.n_tokens + t)*c.dk + e]*k[((s*c.n_kv + cells[j])*c.n_head_kv + hk)*c.dk + e];
            }
            x /= std::sqrt((double) c.dk);
            x = std::exp(c.softcap > 0.0f ? c.softcap*std::tanh(x/c.softcap) : x);
            sum += x;
            for (int64_t e = 0; e < c.dv; ++e) {
                out[e] += x*v[((s*c.n_kv + cells[j])*c.n_head_kv + hk)*c.dv + e];
            }
        }
        for (int64_t e = 0; e < c.dv; ++e) {
            out[e] = sum > 0.0 ? out[e]/sum : 0.0;
        }
    }
    return res;
}

inline void check_attn(const attn_case & c, uint32_t seed, target & where) {
    std::mt19937 rng(seed);
    const attn_data data(c, rng);
    std::vector<float> k, v;
    const auto got = compute_attn(c, data, where, k, v);
    backend_target cpu(ops::cpu());
    const auto cpus = compute_attn(c, data, cpu, k, v);
    const auto expected = reference_attn(c, data, k, v);
    double worst = 0.0, worst_cpu = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double error = std::abs(expected[i] - got[i]);
        worst     = std::isnan(error) ? INFINITY : std::max(worst, error);
        worst_cpu = std::max(worst_cpu, std::abs((double) cpus[i] - got[i]));
    }
    CHECK_LE(worst, 2e-5);
    CHECK_LE(worst_cpu, 4e-5);
}
