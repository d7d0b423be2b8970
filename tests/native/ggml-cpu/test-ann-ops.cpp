// The CPU ops against double precision, over types, shapes, masks, ties, thread counts.

#include "attn-case.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace ops;

// ---------------------------------------------------------------------------------------------------------------------
// top-k

namespace {

struct topk_case {
    int64_t d = 64, n_kv = 500, n_tokens = 1, n_stream = 1;
    int32_t n_top_k = 40, n_always = 0;
    ggml_type type = GGML_TYPE_F16, type_mask = GGML_TYPE_F16;
    double visible = 0.9; // share of cells
    bool   ties = false;
    bool   apart = false; // every query sees cells of its own alone: sequences that share a cache
    int    n_threads = 2;
};

void check_topk(const topk_case & c, uint32_t seed) {
    std::mt19937 rng(seed);
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, c.d, c.n_tokens, 1, c.n_stream);
    auto * k = g.tensor(c.type, c.d, c.n_kv, 1, c.n_stream);
    auto * m = g.tensor(c.type_mask, c.n_kv, c.n_tokens, 1, c.n_stream);
    auto * a = c.n_always > 0 ? g.tensor(GGML_TYPE_I32, c.n_always, c.n_tokens, 1, c.n_stream) : nullptr;
    auto * r = ggml_ann_topk(g.ctx.get(), q, k, m, a, c.n_top_k);

    std::vector<float>   qv = normal(c.d*c.n_tokens*c.n_stream, rng);
    std::vector<float>   kv = normal(c.d*c.n_kv*c.n_stream, rng, 0.1f);
    std::vector<float>   mv(c.n_kv*c.n_tokens*c.n_stream);
    std::vector<int32_t> av(c.n_always*c.n_tokens*c.n_stream, -1);
    if (c.ties) {
        for (size_t i = c.d; i < kv.size(); ++i) {
            kv[i] = kv[i % (3*c.d)]; // three different keys only
        }
    }
    std::bernoulli_distribution is_visible(c.visible);
    for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
        int32_t n = 0;
        for (int64_t j = 0; j < c.n_kv; ++j) {
            const bool v = is_visible(rng) && (!c.apart || j*c.n_tokens/c.n_kv == row % c.n_tokens);
            mv[row*c.n_kv + j] = v ? 0.0f : -INFINITY;
            if (v && n < c.n_always && rng() % 4 == 0) {
                av[row*c.n_always + n++] = (int32_t) j;
            }
        }
    }
    g.run(r, [&] {
        set_floats(q, qv);
        set_floats(k, kv);
        set_floats(m, mv);
        if (a) {
            ggml_backend_tensor_set(a, av.data(), 0, ggml_nbytes(a));
        }
    }, c.n_threads);

    const std::vector<float>   stored = to_floats(k);
    const std::vector<int32_t> got    = to_ints(r);
    for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
        const int64_t s = row/c.n_tokens;
        const int32_t * always = av.data() + row*c.n_always;
        std::vector<std::pair<double, int32_t>> scores;
        std::vector<int32_t> expected(always, std::find(always, always + c.n_always, -1));
        double amax = 0.0;
        for (int64_t j = 0; j < c.n_kv; ++j) {
            if (mv[row*c.n_kv + j] != 0.0f || std::find(expected.begin(), expected.end(), (int32_t) j) != expected.end()) {
                continue;
            }
            double x = 0.0;
            for (int64_t i = 0; i < c.d; ++i) {
                x += (double) qv[row*c.d + i]*stored[(s*c.n_kv + j)*c.d + i];
            }
            scores.emplace_back(-x, (int32_t) j);
            amax = std::max(amax, std::abs(x));
        }
        std::sort(scores.begin(), scores.end());
        const size_t n_search = std::min<size_t>(scores.size(), c.n_top_k - c.n_always);
        for (size_t i = 0; i < n_search; ++i) {
            expected.push_back(scores[i].second);
        }
        std::sort(expected.begin(), expected.end());
        std::vector<int32_t> actual(got.begin() + row*c.n_top_k, got.begin() + (row + 1)*c.n_top_k);
        std::vector<int32_t> padding(c.n_top_k - expected.size(), -1);
        CHECK(std::vector<int32_t>(actual.begin() + expected.size(), actual.end()) == padding);
        actual.resize(expected.size());
        if (actual == expected) {
            continue;
        }
        // two correct sums may order two cells differently only if their scores agree to rounding
        CHECK(!c.ties || c.type == GGML_TYPE_Q8_0);
        const double worst = n_search > 0 ? -scores[n_search - 1].first : 0.0;
        std::vector<int32_t> wrong;
        std::set_symmetric_difference(actual.begin(), actual.end(), expected.begin(), expected.end(), std::back_inserter(wrong));
        const double tolerance = amax*(c.type == GGML_TYPE_Q8_0 ? 1e-4 : 1e-5);
        for (int32_t j : wrong) {
            const auto it = std::find_if(scores.begin(), scores.end(), [&](const auto & x) { return x.second == j; });
            CHECK(it != scores.end());
            CHECK_LE(std::abs(-it->first - worst), tolerance);
        }
    }
}

} // namespace

TEST("top-k: types, masks, one query") {
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        for (ggml_type mask : { GGML_TYPE_F32, GGML_TYPE_F16 }) {
            topk_case c;
            c.type = type;
            c.type_mask = mask;
            check_topk(c, 1);
        }
    }
}

TEST("top-k: many queries equal the same selection, any number of threads") {
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        for (int n_threads : { 1, 2, 3, 8 }) {
            for (int64_t n_tokens : { 2, 7, 17, 64, 100 }) {
                topk_case c;
                c.type = type;
                c.n_tokens = n_tokens;
                c.n_threads = n_threads;
                c.n_kv = 777;
                check_topk(c, (uint32_t) (n_tokens + n_threads));
            }
        }
    }
}

TEST("top-k: streams") {
    for (int64_t n_tokens : { 1, 3, 40 }) {
        topk_case c;
        c.n_stream = 3;
        c.n_tokens = n_tokens;
        c.n_always = 8;
        check_topk(c, 5);
    }
}

TEST("top-k: always-attended cells count and come first") {
    for (int32_t n_always : { 1, 8, 39, 40 }) {
        for (int64_t n_tokens : { 1, 50 }) {
            topk_case c;
            c.n_always = n_always;
            c.n_tokens = n_tokens;
            check_topk(c, 7);
        }
    }
}

TEST("top-k: sequences that share a cache, each query with cells of its own") {
    for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0 }) {
        for (int64_t n_tokens : { 8, 9, 30 }) {
            topk_case c;
            c.type     = type;
            c.n_kv     = 2100;
            c.n_tokens = n_tokens;
            c.n_always = 5;
            c.apart    = true;
            check_topk(c, (uint32_t) n_tokens);
        }
    }
}

TEST("top-k: fewer visible cells than k gives all of them, nothing else, no cell twice") {
    for (double visible : { 0.0, 0.01, 0.05 }) {
        for (int64_t n_tokens : { 1, 50 }) {
            topk_case c;
            c.visible = visible;
            c.n_tokens = n_tokens;
            c.n_always = 3;
            check_topk(c, 11);
        }
    }
}

TEST("top-k: ties go to the lower cell") {
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        for (int64_t n_tokens : { 1, 50 }) {
            topk_case c;
            c.type = type;
            c.ties = true;
            c.n_tokens = n_tokens;
            c.n_kv = 3000;
            check_topk(c, 13);
        }
    }
}

TEST("top-k: long contexts, large k, wide vectors") {
    topk_case c;
    c.n_kv = 40000;
    c.n_top_k = 128;
    check_topk(c, 17);
    c.n_top_k = 2048;
    c.n_kv = 5000;
    check_topk(c, 19);
    c.d = 1024;
    c.n_kv = 300;
    c.n_top_k = 20;
    check_topk(c, 23);
    c.n_tokens = 50;
    check_topk(c, 23);
    c.d = 32;
    c.n_top_k = 1;
    check_topk(c, 29);
}

// ---------------------------------------------------------------------------------------------------------------------
// attention

namespace {

struct threaded_attn_case : attn_case {
    int n_threads = 2;
};

void check_attn(const threaded_attn_case & c, uint32_t seed) {
    std::mt19937 rng(seed);
    const attn_data data(c, rng);
    graph g;
    const attn_tensors t(c, g);
    g.run(t.res, [&] { t.fill(data); }, c.n_threads);
    CHECK_LE(worst_difference(reference_attn(c, data, to_floats(t.k_rows), to_floats(t.v_rows)), to_floats(t.res)), 2e-5);
}

} // namespace

TEST("attention over candidates: K and V types") {
    for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        threaded_attn_case c;
        c.type_k = c.type_v = type;
        check_attn(c, 1);
        c.dense = true;
        check_attn(c, 1);
        c.n_tokens = 30; // blocks of queries
        check_attn(c, 2);
    }
}

TEST("attention: heads, dims, tokens, streams, threads, softcap, sinks; listed and dense") {
    for (bool dense : { false, true }) {
        for (int n_threads : { 1, 2, 5 }) {
            for (int64_t n_tokens : { 1, 3, 40 }) {
                threaded_attn_case c;
                c.dense = dense;
                c.n_threads = n_threads;
                c.n_tokens = n_tokens;
                check_attn(c, (uint32_t) n_tokens);
                c.dk = 128;
                c.dv = 96;
                c.n_head = 8;
                c.n_head_kv = 8;
                c.n_stream = 2;
                check_attn(c, 3);
                c.n_head_kv = 1;
                c.softcap = 5.0f;
                check_attn(c, 4);
                c.sinks = true;
                check_attn(c, 5);
                c.dk = 80; // not a multiple of the vector
                c.dv = 40;
                check_attn(c, 6);
            }
        }
    }
}

TEST("random shapes: head sizes, groups, K from 1 to 4096, masks, streams, every cache type") {
    std::mt19937 rng(2024);
    auto pick = [&](std::initializer_list<int64_t> of) { return *(of.begin() + rng() % of.size()); };
    const ggml_type types[] = { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q5_1, GGML_TYPE_IQ4_NL };
    for (int i = 0; i < 60; ++i) {
        threaded_attn_case c;
        c.type_k    = types[rng() % 7];
        c.type_v    = types[rng() % 7];
        const bool quantised = ggml_is_quantized(c.type_k) || ggml_is_quantized(c.type_v);
        c.dk        = quantised ? pick({ 64, 96, 128, 256 }) : pick({ 64, 80, 96, 112, 128, 192, 256 });
        c.dv        = rng() % 2 ? c.dk : quantised ? pick({ 64, 128 }) : pick({ 40, 64, 128 });
        c.n_head_kv = pick({ 1, 2, 3, 8 });
        c.n_head    = c.n_head_kv*(1 + (int64_t) (rng() % 16));
        c.n_kv      = 1 + (int64_t) (rng() % 4500);
        c.n_list    = std::min<int64_t>(c.n_kv, pick({ 1, 2, 63, 64, 65, 128, 1000, 4096 }));
        c.n_tokens  = pick({ 1, 1, 2, 5, 12 });
        c.n_stream  = pick({ 1, 1, 2 });
        c.n_threads = (int) pick({ 1, 2, 3 });
        c.dense     = rng() % 3 == 0;
        c.softcap   = rng() % 5 == 0 ? 20.0f : 0.0f;
        c.sinks     = rng() % 4 == 0;
        check_attn(c, (uint32_t) i);
    }
    for (int i = 0; i < 120; ++i) {
        topk_case c;
        c.d         = 32*(1 + (int64_t) (rng() % 8));
        c.n_kv      = 1 + (int64_t) (rng() % 6000);
        c.n_tokens  = pick({ 1, 1, 2, 9, 33 });
        c.n_stream  = pick({ 1, 1, 3 });
        c.n_top_k   = (int32_t) pick({ 1, 2, 17, 128, 500, 4096 });
        c.n_always  = (int32_t) std::min<int64_t>(c.n_top_k, pick({ 0, 0, 1, 36 }));
        c.type      = (const ggml_type[]) { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }[rng() % 3];
        c.type_mask = rng() % 2 ? GGML_TYPE_F16 : GGML_TYPE_F32;
        c.visible   = (const double[]) { 0.02, 0.5, 0.99, 1.0 }[rng() % 4];
        c.ties      = rng() % 6 == 0;
        c.n_threads = (int) pick({ 1, 2, 4 });
        check_topk(c, (uint32_t) i);
    }
}

TEST("measure: mass and recall of a choice against full attention") {
    std::mt19937 rng(3);
    const int64_t dk = 64, n_kv = 200, n_head = 4, n_tokens = 9, n_list = 30;
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, dk, n_tokens, n_head);
    auto * k = g.tensor(GGML_TYPE_F16, dk, n_kv, 2);
    auto * m = g.tensor(GGML_TYPE_F16, n_kv, n_tokens);
    auto * list = g.tensor(GGML_TYPE_I32, n_list, n_tokens);
    const int32_t n_top_k = 20;
    auto * r = ggml_ann_measure(g.ctx.get(), q, k, list, m, n_top_k, 0.125f, 0.0f);
    const auto qv = normal(ggml_nelements(q), rng, 2.0f);
    std::vector<float> mv(ggml_nelements(m), 0.0f);
    std::vector<int32_t> lv(ggml_nelements(list), -1);
    for (int64_t t = 0; t < n_tokens; ++t) {
        const int64_t n_visible = 10 + t*20;
        for (int64_t j = n_visible; j < n_kv; ++j) {
            mv[t*n_kv + j] = -INFINITY;
        }
        for (int64_t i = 0; i < std::min(n_visible, n_list); ++i) {
            lv[t*n_list + i] = (int32_t) i;
        }
    }
    g.run(r, [&] {
        set_floats(q, qv);
        set_floats(k, normal(ggml_nelements(k), rng));
        set_floats(m, mv);
        ggml_backend_tensor_set(list, lv.data(), 0, ggml_nbytes(list));
    }, 2);
    const auto kv = to_floats(k), got = to_floats(r);
    for (int64_t t = 0; t < n_tokens; ++t) {
        const int64_t n_visible = 10 + t*20;
        double mass = 0.0;
        std::vector<double> teacher(n_visible, 0.0);
        for (int64_t h = 0; h < n_head; ++h) {
            std::vector<double> p(n_visible);
            double sum = 0.0, kept = 0.0;
            for (int64_t j = 0; j < n_visible; ++j) {
                double x = 0.0;
                for (int64_t e = 0; e < dk; ++e) {
                    x += (double) qv[(h*n_tokens + t)*dk + e]*kv[((h/2)*n_kv + j)*dk + e];
                }
                p[j] = std::exp(x*0.125);
                sum += p[j];
                kept += j < n_list ? p[j] : 0.0;
            }
            mass += kept/sum/n_head;
            for (int64_t j = 0; j < n_visible; ++j) {
                teacher[j] = std::max(teacher[j], p[j]/sum);
            }
        }
        std::vector<int64_t> order(n_visible);
        for (int64_t j = 0; j < n_visible; ++j) {
            order[j] = j;
        }
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return teacher[a] > teacher[b]; });
        const int64_t n_best = std::min<int64_t>(n_top_k, n_visible);
        double hits = 0.0;
        for (int64_t i = 0; i < n_best; ++i) {
            hits += order[i] < n_list;
        }
        const float * row = got.data() + t*GGML_ANN_MEASURE_COUNT;
        CHECK_LE(std::abs(row[GGML_ANN_MEASURE_MASS] - mass), 1e-5);
        CHECK_LE(std::abs(row[GGML_ANN_MEASURE_RECALL] - hits/n_best), 1e-6);
        CHECK_EQ(row[GGML_ANN_MEASURE_VISIBLE], (float) n_visible);
        CHECK_EQ(row[GGML_ANN_MEASURE_ATTENDED], (float) std::min(n_visible, n_list));
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
