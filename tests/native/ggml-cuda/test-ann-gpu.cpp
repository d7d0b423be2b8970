// The GPU's kernels against double precision and the CPU's: on every GPU found; on a machine without one the same kernels
// on the host (emulator/). Types, shapes, masks, ties, streams; decode and prefill.

#include "gpu-target.h"

#include <algorithm>
#include <cmath>

namespace {

using ops::normal;
using ops::set_floats;
using ops::to_floats;
using ops::to_ints;

// tensors of one case, in a target's memory
struct graph {
    ggml_context_ptr ctx { ggml_init({ 1 << 20, nullptr, true }) };
    ggml_backend_buffer_ptr buffer;

    ggml_tensor * tensor(ggml_type type, int64_t a, int64_t b, int64_t c = 1, int64_t d = 1) {
        return ggml_new_tensor_4d(ctx.get(), type, a, b, c, d);
    }

    void run(target & where, ggml_tensor * op, const std::function<void()> & fill) {
        CHECK(where.supports(op));
        buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), where.memory()));
        CHECK(buffer);
        std::vector<uint8_t> garbage(ggml_nbytes(op), 0x7b); // what nothing writes shows
        ggml_backend_tensor_set(op, garbage.data(), 0, garbage.size());
        fill();
        where.compute(ctx.get(), op);
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// top-k

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

std::vector<int32_t> compute_topk(const topk_case & c, const topk_data & data, target & where, std::vector<float> & stored) {
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

void check_topk_row(const topk_case & c, const topk_data & data, const std::vector<float> & stored, int64_t row, const int32_t * got) {
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

void check_topk(const topk_case & c, uint32_t seed, target & where) {
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

// ---------------------------------------------------------------------------------------------------------------------
// attention

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

std::vector<float> compute_attn(const attn_case & c, const attn_data & data, target & where, std::vector<float> & k_stored, std::vector<float> & v_stored) {
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

std::vector<double> reference_attn(const attn_case & c, const attn_data & data, const std::vector<float> & k, const std::vector<float> & v) {
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

void check_attn(const attn_case & c, uint32_t seed, target & where) {
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

// ---------------------------------------------------------------------------------------------------------------------
// search vectors: projected, rotated, normalised and stored, with the search or for many layers

struct vectors_case {
    int64_t   n_in = 96, d = 64, n_kv = 300, n_tokens = 1, n_stream = 1;
    int32_t   n_rot = 0, n_top_k = 20, n_always = 0, n_layers = 1;
    ggml_type type_w = GGML_TYPE_F16, type = GGML_TYPE_F16, type_kv = GGML_TYPE_F16;
    bool      norm = true, search = true, attend = false;
    int64_t   n_head = 6, n_head_kv = 2, d_head = 64;
};

struct vectors_layer {
    ggml_tensor *x, *w_k, *w_q, *cache, *topk, *q, *k, *v, *attn;
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
            auto projected = [&](ggml_tensor * w) {
                ggml_tensor * y = ggml_reshape_3d(ctx, ggml_mul_mat(ctx, w, l.x), c.d, 1, n);
                return c.n_rot > 0 ? ggml_rope_ext(ctx, y, pos, nullptr, c.n_rot, GGML_ROPE_TYPE_NEOX, 0, 1e4f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f) : y;
            };
            ggml_tensor * k = projected(l.w_k);
            k = c.norm ? ggml_l2_norm(ctx, k, 1e-12f) : k;
            k = ggml_view_2d(ctx, k, c.d, n, k->nb[2], 0);
            ggml_build_forward_expand(gf, ggml_set_rows(ctx, ggml_reshape_2d(ctx, l.cache, c.d, c.n_kv*c.n_stream), k, idxs));
            if (c.search) {
                ggml_tensor * q = ggml_reshape_4d(ctx, projected(l.w_q), c.d, c.n_tokens, 1, c.n_stream);
                ggml_tensor * keys = ggml_view_4d(ctx, l.cache, c.d, 1, c.n_kv, c.n_stream, l.cache->nb[1], l.cache->nb[1], l.cache->nb[2], 0);
                l.topk = ggml_ann_topk(ctx, q, ggml_permute(ctx, keys, 0, 2, 1, 3), ranges, always, c.n_top_k);
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
std::vector<double> reference_vector(const vectors_case & c, const std::vector<float> & w, const float * x, int32_t pos, bool norm) {
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

double length_of(const std::vector<double> & v) {
    double sum = 0.0;
    for (double x : v) {
        sum += x*x;
    }
    return std::sqrt(sum);
}

void check_vectors(const vectors_case & c, uint32_t seed, target & where) {
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
        if (c.attend) {
            q_head.push_back(normal(c.d_head*c.n_head*n, rng, 2.0f));
            set_floats(l.q, q_head.back());
            set_floats(l.k, normal(c.d_head*c.n_head_kv*c.n_kv*c.n_stream, rng));
            set_floats(l.v, normal(c.d_head*c.n_head_kv*c.n_kv*c.n_stream, rng));
        }
    }
    const int fused = where.compute_graph(v.gf);
    // all but the first node of a layer, and views that lie before it or between the last step and one that is not part of it
    const bool whole = !c.attend || c.n_top_k <= 512;
    CHECK(fused == -1 || fused >= ggml_graph_n_nodes(v.gf) - c.n_layers*(whole ? 4 : 9));

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

// ---------------------------------------------------------------------------------------------------------------------

const std::vector<std::unique_ptr<target>> & targets() {
    static const auto all = [] {
        auto res = gpus_found();
        std::printf("GPUs found: %zu%s\n", res.size(), res.empty() ? " (the kernels run on the host only)" : "");
        if (res.empty()) {
            res.push_back(make_emulated(true, 4));
            res.push_back(make_emulated(false, 13)); // the other scores kernel; attention has one
        }
        return res;
    }();
    return all;
}

void on(target & t, const std::function<void(target &)> & body) {
    try {
        body(t);
    } catch (const std::exception & e) {
        throw test_failure(t.name() + ": " + e.what());
    }
}

void on_all(const std::function<void(target &)> & body) {
    for (const auto & t : targets()) {
        on(*t, body);
    }
}

void on_first(const std::function<void(target &)> & body) { on(*targets()[0], body); }

} // namespace

TEST("top-k: types, masks, one query") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (ggml_type mask : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_I32 }) {
                topk_case c;
                c.type = type;
                c.type_mask = mask;
                check_topk(c, 1, where);
                c.n_tokens = 21;
                c.n_always = 5;
                check_topk(c, 2, where);
            }
        }
    });
}

TEST("top-k: vector sizes with matrix units and without") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t d : { 32, 64, 96, 128, 256, 512 }) {
                for (int64_t n_tokens : { 3, 21 }) {
                    topk_case c;
                    c.type = type;
                    c.d = d;
                    c.n_tokens = n_tokens;
                    c.n_kv = 233;
                    check_topk(c, (uint32_t) (d + n_tokens), where);
                }
            }
        }
    });
}

TEST("top-k: many queries, in groups, over streams") {
    on_all([](target & where) {
        for (int64_t n_tokens : { 5, 16, 17, 65, 130 }) {
            for (int64_t n_stream : { 1, 3 }) {
                if (n_tokens*n_stream > 130) {
                    continue;
                }
                topk_case c;
                c.n_tokens = n_tokens;
                c.n_stream = n_stream;
                c.n_kv = 601;
                c.n_always = 8;
                check_topk(c, (uint32_t) n_tokens, where);
            }
        }
        topk_case c; // more keys than a group holds: several groups
        c.n_kv = where.is_emulated() ? 900 : 200001;
        c.n_tokens = 150;
        c.n_top_k = 30;
        check_topk(c, 3, where);
    });
}

TEST("top-k: always-attended cells count and come first") {
    on_all([](target & where) {
        for (int32_t n_always : { 1, 8, 39, 40 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.n_always = n_always;
                c.n_tokens = n_tokens;
                check_topk(c, 7, where);
            }
        }
    });
}

TEST("top-k: fewer visible cells than k gives all of them, nothing else, no cell twice") {
    on_all([](target & where) {
        for (double visible : { 0.0, 0.01, 0.05 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.visible = visible;
                c.n_tokens = n_tokens;
                c.n_always = 3;
                check_topk(c, 11, where);
            }
        }
    });
}

TEST("top-k: ties go to the lower cell, also when all cells tie") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                for (int64_t n_kv : { 3000, where.is_emulated() && n_tokens > 1 ? 4000 : 30000 }) { // beyond the list of candidates
                    topk_case c;
                    c.type = type;
                    c.keys = keys_like::ties;
                    c.n_tokens = n_tokens;
                    c.n_kv = n_kv;
                    c.n_always = n_kv > 3000 ? 4 : 0;
                    check_topk(c, 13, where);
                }
            }
        }
    });
}

TEST("top-k: scores in a narrow range") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.type = type;
                c.keys = keys_like::close;
                c.d = 128;
                c.n_kv = where.is_emulated() && n_tokens > 1 ? 3000 : 20000;
                c.n_tokens = n_tokens;
                c.n_top_k = 128;
                c.n_always = 36;
                check_topk(c, 15, where);
            }
        }
    });
}

TEST("top-k: long contexts, large k") {
    on_first([](target & where) {
        topk_case c;
        c.n_kv = where.is_emulated() ? 40000 : 131072;
        c.n_top_k = 128;
        c.d = 128;
        check_topk(c, 17, where);
        c.n_top_k = 256;
        c.type = GGML_TYPE_Q8_0;
        check_topk(c, 18, where);
        c.n_top_k = 2048;
        c.n_kv = 5000;
        check_topk(c, 19, where);
        c.n_top_k = 4096;
        c.n_tokens = 17;
        check_topk(c, 20, where);
        c.d = 32;
        c.n_top_k = 1;
        check_topk(c, 29, where);
    });
}

TEST("attention over candidates and over all cells: cache types") {
    on_first([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
            for (int64_t n_list : { 50, 200 }) {
                attn_case c;
                c.type = type;
                c.n_list = n_list;
                check_attn(c, 1, where);
                c.dense = true;
                check_attn(c, 1, where);
            }
        }
    });
}

TEST("attention: heads, dims, tokens, streams, softcap, sinks; listed and dense") {
    on_first([](target & where) {
        for (bool dense : { false, true }) {
            for (int64_t n_tokens : { 1, 3 }) {
                attn_case c;
                c.dense = dense;
                c.n_tokens = n_tokens;
                for (int64_t group : { 1, 2, 3, 4, 7, 8, 12 }) {
                    c.n_head = group*c.n_head_kv;
                    check_attn(c, (uint32_t) group, where);
                }
                c.dk = 128;
                c.dv = 96;
                c.n_head = 8;
                c.n_head_kv = 8;
                c.n_stream = 2;
                check_attn(c, 3, where);
                c.n_head_kv = 1;
                c.softcap = 5.0f;
                check_attn(c, 4, where);
                c.sinks = true;
                check_attn(c, 5, where);
                c.dk = 80;
                c.dv = 40;
                check_attn(c, 6, where);
                c.dk = c.dv = 256;
                check_attn(c, 7, where);
            }
        }
    });
}

TEST("search vectors with their search: types, rotation, norm, tokens, streams") {
    on_all([](target & where) {
        uint32_t seed = 0;
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (ggml_type type_w : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0 }) {
                for (int64_t n_tokens : { 1, 7 }) {
                    for (int64_t n_stream : { 1, 2 }) {
                        vectors_case c;
                        c.type     = type;
                        c.type_w   = type_w;
                        c.n_tokens = n_tokens;
                        c.n_stream = n_stream;
                        c.n_rot    = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 64 : 32;
                        c.norm     = seed % 2 == 0;
                        c.d        = seed % 5 == 0 ? 96 : seed % 5 == 1 ? 128 : 64;
                        c.n_in     = seed % 4 == 0 ? 3520 : 96; // more than is read early
                        check_vectors(c, ++seed, where);
                    }
                }
            }
        }
    });
}

TEST("a layer as one: search vectors, search, attention that finds its cells") {
    on_first([](target & where) {
        uint32_t seed = 100;
        for (int32_t n_top_k : { 1, 40, 128, 300, 512, 600 }) {
            for (int64_t n_tokens : { 1, 3 }) {
                for (int64_t n_stream : { 1, 2 }) {
                    vectors_case c;
                    c.attend    = true;
                    c.n_top_k   = n_top_k;
                    c.n_always  = seed % 2 == 0 ? 0 : std::min(n_top_k, 36);
                    c.n_kv      = seed % 3 == 0 ? 400 : 2100;
                    c.n_tokens  = n_tokens;
                    c.n_stream  = n_stream;
                    c.type      = seed % 2 == 0 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0;
                    c.type_kv   = (const ggml_type[]) { GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_F32, GGML_TYPE_BF16 }[seed % 5];
                    c.n_head    = c.n_head_kv*(1 + seed % 8);
                    c.d_head    = seed % 7 == 0 ? 256 : 128;
                    check_vectors(c, ++seed, where);
                }
            }
        }
    });
}

TEST("search keys of many layers at once") {
    on_first([](target & where) {
        for (int32_t n_layers : { 1, 5, 40 }) {
            for (int64_t n_tokens : { 1, 3 }) {
                vectors_case c;
                c.search   = false;
                c.n_layers = n_layers;
                c.n_tokens = n_tokens;
                c.n_rot    = 64;
                c.type     = n_layers == 5 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
                check_vectors(c, (uint32_t) n_layers, where);
            }
        }
    });
}

TEST("a mask of ranges is that of its cells") {
    on_first([](target & where) {
        std::mt19937 rng(5);
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_F32 }) {
            for (int64_t n_kv : { 1, 7, 256, 4099 }) {
                const int64_t n_tokens = 3, n_stream = 2;
                std::vector<int32_t> data;
                for (int64_t i = 0; i < 2*n_tokens*n_stream; i += 2) {
                    data.push_back((int32_t) (rng() % (n_kv + 1)));
                    data.push_back((int32_t) (data.back() + rng() % (n_kv - data.back() + 1)));
                }
                graph g;
                auto * ranges = g.tensor(GGML_TYPE_I32, 2, n_tokens, 1, n_stream);
                auto * mask   = ggml_ann_mask(g.ctx.get(), ranges, type, n_kv);
                g.run(where, mask, [&] { ggml_backend_tensor_set(ranges, data.data(), 0, ggml_nbytes(ranges)); });
                const auto got = to_floats(mask);
                for (int64_t i = 0; i < n_kv*n_tokens*n_stream; ++i) {
                    const int64_t row = i/n_kv, j = i % n_kv;
                    CHECK_EQ(got[i], j >= data[2*row] && j < data[2*row + 1] ? 0.0f : -INFINITY);
                }
            }
        }
    });
}

TEST("random shapes") {
    on_first([](target & where) {
        const bool slow = where.is_emulated();
        std::mt19937 rng(2024);
        auto pick = [&](std::initializer_list<int64_t> of) { return *(of.begin() + rng() % of.size()); };
        const ggml_type types[] = { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 };
        for (int i = 0; i < (slow ? 10 : 40); ++i) {
            attn_case c;
            c.type      = types[rng() % 5];
            c.dk        = ggml_is_quantized(c.type) ? pick({ 64, 96, 128, 256 }) : pick({ 64, 80, 96, 112, 128, 192, 256 });
            c.dv        = rng() % 2 ? c.dk : pick({ 64, 128 });
            c.n_head_kv = pick({ 1, 2, 3, 8 });
            c.n_head    = c.n_head_kv*(1 + (int64_t) (rng() % 16));
            c.n_kv      = 1 + (int64_t) (rng() % (slow ? 900 : 4500));
            c.n_list    = std::min<int64_t>(c.n_kv, pick({ 1, 2, 63, 64, 65, 128, 129, 1000, 4096 }));
            c.n_tokens  = pick({ 1, 1, 2, 5 });
            c.n_stream  = pick({ 1, 1, 2 });
            c.dense     = rng() % 3 == 0;
            c.softcap   = rng() % 5 == 0 ? 20.0f : 0.0f;
            c.sinks     = rng() % 4 == 0;
            check_attn(c, (uint32_t) i, where);
        }
        for (int i = 0; i < (slow ? 15 : 80); ++i) {
            topk_case c;
            c.d         = 32*(1 + (int64_t) (rng() % 8));
            c.n_kv      = 1 + (int64_t) (rng() % (slow ? 2500 : 20000));
            c.n_tokens  = pick({ 1, 1, 2, 9, 33 });
            c.n_stream  = pick({ 1, 1, 3 });
            c.n_top_k   = (int32_t) pick({ 1, 2, 17, 128, 500, 4096 });
            c.n_always  = (int32_t) std::min<int64_t>(c.n_top_k, pick({ 0, 0, 1, 36 }));
            c.type      = (const ggml_type[]) { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }[rng() % 3];
            c.type_mask = (const ggml_type[]) { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_I32 }[rng() % 3];
            c.visible   = (const double[]) { 0.02, 0.5, 0.99, 1.0 }[rng() % 4];
            c.keys      = rng() % 6 == 0 ? keys_like::ties : keys_like::normal;
            check_topk(c, (uint32_t) i, where);
        }
    });
}

TEST("what the kernels do not take is left to the CPU") {
    on_first([](target & where) {
        graph g;
        auto * q = g.tensor(GGML_TYPE_F32, 64, 1, 2);
        auto * list = g.tensor(GGML_TYPE_I32, 8, 1);
        auto * mask = g.tensor(GGML_TYPE_F16, 100, 1);
        auto * k16 = g.tensor(GGML_TYPE_F16, 64, 100, 2);
        auto * v8 = g.tensor(GGML_TYPE_Q8_0, 64, 100, 2);
        auto * k5 = g.tensor(GGML_TYPE_Q5_1, 64, 100, 2);
        ggml_context * ctx = g.ctx.get();
        CHECK( where.supports(ggml_ann_attn(ctx, q, k16, k16, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_attn(ctx, q, k16, v8, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_attn(ctx, q, k5, k5, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_measure(ctx, q, k16, list, mask, 8, 1.0f, 0.0f)));
        auto * q_search = g.tensor(GGML_TYPE_F32, 64, 1);
        auto * k_search = g.tensor(GGML_TYPE_F16, 64, 100);
        CHECK( where.supports(ggml_ann_topk(ctx, q_search, k_search, mask, nullptr, 4096)));
        CHECK(!where.supports(ggml_ann_topk(ctx, q_search, k_search, mask, nullptr, 4097)));
        auto * wide = g.tensor(GGML_TYPE_F16, 2048, 100);
        CHECK(!where.supports(ggml_ann_topk(ctx, g.tensor(GGML_TYPE_F32, 2048, 1), wide, mask, nullptr, 8)));
    });
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
