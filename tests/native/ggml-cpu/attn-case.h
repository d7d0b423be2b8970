#pragma once

// A case of attention over listed or all cells: its tensors, data and result in double precision. For the CPU's op and the GPU's.

#include "ops.h"

#include <algorithm>
#include <cmath>

namespace ops {

struct attn_case {
    int64_t dk = 64, dv = 64, n_kv = 300, n_head = 6, n_head_kv = 2, n_tokens = 1, n_stream = 1, n_list = 50;
    ggml_type type_k = GGML_TYPE_F16, type_v = GGML_TYPE_F16;
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

struct attn_tensors {
    ggml_tensor *q, *k_rows, *v_rows, *mask, *list, *sinks, *res;

    attn_tensors(const attn_case & c, graph & g) {
        q = g.tensor(GGML_TYPE_F32, c.dk, c.n_tokens, c.n_head, c.n_stream);
        // as in the cache: rows of a cell hold all heads; the op gets permuted views
        k_rows = g.tensor(c.type_k, c.dk, c.n_head_kv, c.n_kv, c.n_stream);
        v_rows = g.tensor(c.type_v, c.dv, c.n_head_kv, c.n_kv, c.n_stream);
        mask   = g.tensor(GGML_TYPE_F16, c.n_kv, c.n_tokens, 1, c.n_stream);
        list   = g.tensor(GGML_TYPE_I32, c.n_list, c.n_tokens, 1, c.n_stream);
        sinks  = c.sinks ? g.tensor(GGML_TYPE_F32, c.n_head, 1) : nullptr;
        auto * k = ggml_permute(g.ctx.get(), k_rows, 0, 2, 1, 3);
        auto * v = ggml_permute(g.ctx.get(), v_rows, 0, 2, 1, 3);
        res = ggml_ann_attn(g.ctx.get(), q, k, v, c.dense ? nullptr : list, mask, sinks, 1.0f/std::sqrt((float) c.dk), c.softcap);
    }

    void fill(const attn_data & data) const {
        set_floats(q, data.q);
        set_floats(k_rows, data.k);
        set_floats(v_rows, data.v);
        set_floats(mask, data.mask);
        ggml_backend_tensor_set(list, data.list.data(), 0, ggml_nbytes(list));
        if (sinks) {
            set_floats(sinks, data.sinks);
        }
    }
};

// k, v: as they are stored
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

// infinite where a value is not a number
inline double worst_difference(const std::vector<double> & expected, const std::vector<float> & got) {
    double res = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double error = std::abs(expected[i] - got[i]);
        res = std::isnan(error) ? INFINITY : std::max(res, error);
    }
    return res;
}

} // namespace ops
