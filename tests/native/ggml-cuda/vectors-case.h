#pragma once

// Search vectors on a target, projected, rotated, normalised and stored, with the search or for many layers, against double
// precision.

#include "attn-case.h"

struct vectors_case {
    int64_t   n_in = 96, d = 64, n_kv = 300, n_tokens = 1, n_stream = 1;
    int32_t   n_rot = 0, n_top_k = 20, n_always = 0, n_layers = 1;
    ggml_type type_w = GGML_TYPE_F16, type = GGML_TYPE_F16, type_kv = GGML_TYPE_F16;
    bool      norm = true, search = true, attend = false;
    bool      beside = false; // another projection of the same hidden state before: the search begins with it
    bool      masked = false; // visibility is computed by a node, after that projection: the search cannot
    int64_t   n_head = 6, n_head_kv = 2, d_head = 64;
};

struct vectors_layer {
    ggml_tensor *x, *w_k, *w_q, *cache, *topk, *q, *k, *v, *attn;
    ggml_tensor *w, *y; // beside: the other projection
};

// The nodes of a model's graph: the key of each token into its cell, then the search that may find it.
struct vectors_graph {
    graph         g;
    ggml_cgraph * gf = nullptr;
    ggml_tensor * pos, * idxs, * ranges, * always = nullptr;
    std::vector<vectors_layer> layers;

    explicit vectors_graph(const vectors_case & c) {
        ggml_context * ctx = g.ctx.get();
        gf     = ggml_new_graph(ctx);
        pos    = g.tensor(GGML_TYPE_I32, c.n_tokens*c.n_stream, 1);
        idxs   = g.tensor(GGML_TYPE_I64, c.n_tokens*c.n_stream, 1);
        ranges = g.tensor(GGML_TYPE_I32, 2, c.n_tokens, 1, c.n_stream);
        always = c.n_always > 0 ? g.tensor(GGML_TYPE_I32, c.n_always, c.n_tokens, 1, c.n_stream) : nullptr;
        const int64_t n = c.n_tokens*c.n_stream;
        for (int il = 0; il < c.n_layers; ++il) {
            vectors_layer l = {};
            l.x     = g.tensor(GGML_TYPE_F32, c.n_in, n);
            l.w_k   = g.tensor(c.type_w, c.n_in, c.d);
            l.w_q   = g.tensor(c.type_w, c.n_in, c.d);
            l.cache = g.tensor(c.type, c.d, c.n_kv, c.n_stream);
            ggml_set_name(l.w_k, "blk.0.indexer.attn_k.weight");
            ggml_set_name(l.w_q, "blk.0.indexer.proj.weight");
            ggml_tensor * x = l.x;
            ggml_tensor * mask = ranges;
            if (c.beside) { // as a model's own query, from a hidden state that is a node
                x   = ggml_scale(ctx, l.x, 1.0f);
                l.w = g.tensor(GGML_TYPE_F32, c.n_in, 32);
                l.y = ggml_mul_mat(ctx, l.w, x);
                ggml_build_forward_expand(gf, l.y);
                if (c.masked) {
                    mask = ggml_ann_mask(ctx, ranges, GGML_TYPE_F16, c.n_kv);
                    ggml_build_forward_expand(gf, mask);
                }
            }
            auto projected = [&](ggml_tensor * w) {
                ggml_tensor * y = ggml_reshape_3d(ctx, ggml_mul_mat(ctx, w, x), c.d, 1, n);
                return c.n_rot > 0 ? ggml_rope_ext(ctx, y, pos, nullptr, c.n_rot, GGML_ROPE_TYPE_NEOX, 0, 1e4f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f) : y;
            };
            ggml_tensor * k = projected(l.w_k);
            k = c.norm ? ggml_l2_norm(ctx, k, 1e-12f) : k;
            k = ggml_view_2d(ctx, k, c.d, n, k->nb[2], 0);
            ggml_build_forward_expand(gf, ggml_set_rows(ctx, ggml_reshape_2d(ctx, l.cache, c.d, c.n_kv*c.n_stream), k, idxs));
            if (c.search) {
                ggml_tensor * q = ggml_reshape_4d(ctx, projected(l.w_q), c.d, c.n_tokens, 1, c.n_stream);
                ggml_tensor * keys = ggml_view_4d(ctx, l.cache, c.d, 1, c.n_kv, c.n_stream, l.cache->nb[1], l.cache->nb[1], l.cache->nb[2], 0);
                l.topk = ggml_ann_topk(ctx, q, ggml_permute(ctx, keys, 0, 2, 1, 3), mask, always, c.n_top_k);
                ggml_build_forward_expand(gf, l.topk);
            }
            if (c.attend) {
                l.q = g.tensor(GGML_TYPE_F32, c.d_head, c.n_tokens, c.n_head, c.n_stream);
                l.k = g.tensor(c.type_kv, c.d_head, c.n_head_kv, c.n_kv, c.n_stream);
                l.v = g.tensor(c.type_kv, c.d_head, c.n_head_kv, c.n_kv, c.n_stream);
                l.attn = ggml_ann_attn(ctx, l.q, ggml_permute(ctx, l.k, 0, 2, 1, 3), ggml_permute(ctx, l.v, 0, 2, 1, 3), l.topk, nullptr,
                    nullptr, 1.0f/std::sqrt((float) c.d_head), 0.0f);
                ggml_build_forward_expand(gf, l.attn);
            }
            layers.push_back(l);
        }
    }
};

// in double precision, from the weights as they are stored
inline std::vector<double> reference_vector(const vectors_case & c, const std::vector<float> & w, const float * x, int32_t pos, bool norm) {
    std::vector<double> y(c.d, 0.0);
    for (int64_t e = 0; e < c.d; ++e) {
        for (int64_t i = 0; i < c.n_in; ++i) {
            y[e] += (double) w[e*c.n_in + i]*x[i];
        }
    }
    for (int32_t i = 0; i < c.n_rot/2; ++i) {
        const double theta = pos*std::pow(1e4, -2.0*i/c.n_rot);
        const double a = y[i], b = y[i + c.n_rot/2];
        y[i]             = a*std::cos(theta) - b*std::sin(theta);
        y[i + c.n_rot/2] = a*std::sin(theta) + b*std::cos(theta);
    }
    double sum = 0.0;
    for (double v : y) {
        sum += v*v;
    }
    for (double & v : y) {
        v /= norm ? std::sqrt(sum) : 1.0;
    }
    return y;
}

inline double length_of(const std::vector<double> & v) {
    double sum = 0.0;
    for (double x : v) {
        sum += x*x;
    }
    return std::sqrt(sum);
}

inline void check_vectors(const vectors_case & c, uint32_t seed, target & where) {
    std::mt19937 rng(seed);
    vectors_graph v(c);
    v.g.buffer.reset(ggml_backend_alloc_ctx_tensors(v.g.ctx.get(), where.memory()));
    CHECK(v.g.buffer);
    const int64_t n = c.n_tokens*c.n_stream;
    std::vector<int32_t> pos, ranges, always;
    std::vector<int64_t> idxs;
    for (int64_t s = 0; s < c.n_stream; ++s) {
        const int64_t first = rng() % (c.n_kv - c.n_tokens + 1); // cells before the batch hold keys already
        for (int64_t t = 0; t < c.n_tokens; ++t) {
            pos.push_back((int32_t) (first + t));
            idxs.push_back(s*c.n_kv + first + t);
            ranges.push_back(0);
            ranges.push_back((int32_t) (first + t + 1));
            for (int32_t i = 0; i < c.n_always; ++i) { // every other cell from the first on
                always.push_back(2*i <= first + t ? 2*i : -1);
            }
        }
    }
    ggml_backend_tensor_set(v.pos,    pos.data(),    0, ggml_nbytes(v.pos));
    ggml_backend_tensor_set(v.idxs,   idxs.data(),   0, ggml_nbytes(v.idxs));
    ggml_backend_tensor_set(v.ranges, ranges.data(), 0, ggml_nbytes(v.ranges));
    if (v.always) {
        ggml_backend_tensor_set(v.always, always.data(), 0, ggml_nbytes(v.always));
    }
    std::vector<std::vector<float>> x, before, q_head;
    for (auto & l : v.layers) {
        x.push_back(normal(c.n_in*n, rng));
        set_floats(l.x, x.back());
        set_floats(l.w_k, normal(c.n_in*c.d, rng, 0.1f));
        set_floats(l.w_q, normal(c.n_in*c.d, rng, 0.1f));
        set_floats(l.cache, normal(c.d*c.n_kv*c.n_stream, rng, 0.125f));
        before.push_back(to_floats(l.cache));
        if (c.beside) {
            set_floats(l.w, normal(c.n_in*32, rng, 0.1f));
        }
        if (c.attend) {
            q_head.push_back(normal(c.d_head*c.n_head*n, rng, 2.0f));
            set_floats(l.q, q_head.back());
            set_floats(l.k, normal(c.d_head*c.n_head_kv*c.n_kv*c.n_stream, rng));
            set_floats(l.v, normal(c.d_head*c.n_head_kv*c.n_kv*c.n_stream, rng));
        }
    }
    const int n_beside = where.n_beside();
    const int fused = where.compute_graph(v.gf);
    CHECK(n_beside == -1 || (where.n_beside() > n_beside) == (c.beside && !c.masked && c.search));
    // all but the first node of a layer, and views that lie before it or between the last step and one that is not part of it
    const bool whole = !c.attend || c.n_top_k <= 512;
    const int n_others = (c.beside ? 2 : 0) + (c.masked ? 1 : 0);
    CHECK(fused == -1 || fused >= ggml_graph_n_nodes(v.gf) - c.n_layers*((whole ? 4 : 9) + n_others));

    for (size_t il = 0; il < v.layers.size(); ++il) {
        const auto & l = v.layers[il];
        const auto after = to_floats(l.cache), w_k = to_floats(l.w_k), w_q = to_floats(l.w_q);
        std::vector<bool> is_new(c.n_kv*c.n_stream, false);
        for (int64_t i = 0; i < n; ++i) {
            is_new[idxs[i]] = true;
            const auto key = reference_vector(c, w_k, x[il].data() + i*c.n_in, pos[i], c.norm);
            double amax = 0.0;
            for (double e : key) {
                amax = std::max(amax, std::abs(e));
            }
            const double step = c.type == GGML_TYPE_Q8_0 ? amax/127 : c.type == GGML_TYPE_F16 ? amax/1024 : 0.0;
            for (int64_t e = 0; e < c.d; ++e) {
                CHECK_LE(std::abs(after[idxs[i]*c.d + e] - key[e]), step + 1e-3*length_of(key));
            }
        }
        for (int64_t j = 0; j < c.n_kv*c.n_stream; ++j) {
            CHECK(is_new[j] || std::equal(after.begin() + j*c.d, after.begin() + (j + 1)*c.d, before[il].begin() + j*c.d));
        }
        if (!c.search) {
            continue;
        }
        const auto got = to_ints(l.topk);
        for (int64_t i = 0; i < n; ++i) {
            const auto q = reference_vector(c, w_q, x[il].data() + i*c.n_in, pos[i], false);
            const int64_t n_seen = ranges[2*i + 1], s = i/c.n_tokens;
            std::vector<double> score(n_seen, 0.0);
            double longest = 0.0;
            for (int64_t j = 0; j < n_seen; ++j) {
                double sum = 0.0;
                for (int64_t e = 0; e < c.d; ++e) {
                    const double k = after[(s*c.n_kv + j)*c.d + e];
                    score[j] += q[e]*k;
                    sum += k*k;
                }
                longest = std::max(longest, std::sqrt(sum));
            }
            std::vector<bool> is_always(n_seen, false), found(n_seen, false);
            int64_t n_always = 0;
            for (int32_t a = 0; a < c.n_always; ++a) {
                if (always[i*c.n_always + a] >= 0) {
                    is_always[always[i*c.n_always + a]] = true;
                    ++n_always;
                }
            }
            std::vector<double> sorted;
            for (int64_t j = 0; j < n_seen; ++j) {
                if (!is_always[j]) {
                    sorted.push_back(score[j]);
                }
            }
            std::sort(sorted.rbegin(), sorted.rend());
            const int64_t n_search = std::min<int64_t>(c.n_top_k - c.n_always, sorted.size()), n_found = n_search + n_always;
            const double least = n_search > 0 ? sorted[n_search - 1] : INFINITY, rounding = 1e-3*length_of(q)*longest;
            for (int64_t j = 0; j < c.n_top_k; ++j) {
                const int32_t cell = got[i*c.n_top_k + j];
                CHECK(j < n_found ? cell >= 0 && cell < n_seen && !found[cell] && (j == 0 || cell > got[i*c.n_top_k + j - 1]) : cell == -1);
                if (cell >= 0) {
                    found[cell] = true;
                    CHECK(is_always[cell] || score[cell] >= least - rounding);
                }
            }
            for (int64_t j = 0; j < n_seen; ++j) {
                CHECK(found[j] || (!is_always[j] && score[j] <= least + rounding));
            }
        }
        if (c.attend) { // over the cells that were found
            attn_case a;
            a.dk = a.dv = c.d_head;
            a.n_kv      = c.n_kv;
            a.n_head    = c.n_head;
            a.n_head_kv = c.n_head_kv;
            a.n_tokens  = c.n_tokens;
            a.n_stream  = c.n_stream;
            attn_data data(a, rng);
            a.n_list  = c.n_top_k;
            data.q    = q_head[il];
            data.list = got;
            const auto expected = reference_attn(a, data, to_floats(l.k), to_floats(l.v));
            const auto out = to_floats(l.attn);
            for (size_t e = 0; e < expected.size(); ++e) {
                CHECK_LE(std::abs(expected[e] - out[e]), 2e-5);
            }
        }
    }
}
