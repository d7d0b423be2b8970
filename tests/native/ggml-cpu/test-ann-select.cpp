// GGML_ANN_SELECT: every selector against its definition, written down once more in double precision.

#include "ops.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace ops;

namespace {

struct select_case {
    int64_t d = 64, n_kv = 200, n_head = 4, n_head_kv = 2, n_tokens = 5, n_stream = 1;
    int32_t n_top_k = 40, n_always = 0, seed = 7, n_frozen = 0;
    ggml_type type = GGML_TYPE_F16;
    int n_threads = 2;
    bool causal = true; // else random masks
};

struct select_run {
    std::vector<float> q, k, mask;
    std::vector<int32_t> always, got; // [rows][n_always], [rows][n_top_k]

    bool visible(const select_case & c, int64_t row, int64_t j) const { return mask[row*c.n_kv + j] == 0.0f; }

    double logit(const select_case & c, int64_t row, int64_t h, int64_t j) const {
        const int64_t s = row/c.n_tokens, t = row % c.n_tokens;
        double x = 0.0;
        for (int64_t i = 0; i < c.d; ++i) {
            x += (double) q[((s*c.n_head + h)*c.n_tokens + t)*c.d + i]*k[((s*c.n_kv + j)*c.n_head_kv + h/(c.n_head/c.n_head_kv))*c.d + i];
        }
        return x;
    }
};

select_run run(const select_case & c, ggml_ann_selector selector, uint32_t data = 1) {
    std::mt19937 rng(data);
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, c.d, c.n_tokens, c.n_head, c.n_stream);
    auto * k_rows = g.tensor(c.type, c.d, c.n_head_kv, c.n_kv, c.n_stream);
    auto * k = ggml_permute(g.ctx.get(), k_rows, 0, 2, 1, 3);
    auto * m = g.tensor(GGML_TYPE_F16, c.n_kv, c.n_tokens, 1, c.n_stream);
    auto * a = c.n_always > 0 ? g.tensor(GGML_TYPE_I32, c.n_always, c.n_tokens, 1, c.n_stream) : nullptr;
    auto * r = ggml_ann_select(g.ctx.get(), q, k, m, a, c.n_top_k, selector, c.seed, c.n_frozen);
    select_run res;
    res.q = normal(ggml_nelements(q), rng);
    res.mask.resize(ggml_nelements(m));
    res.always.assign(c.n_always*c.n_tokens*c.n_stream, -1);
    for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
        const int64_t n_visible = c.n_kv - 3*(c.n_tokens - 1 - row % c.n_tokens) - 5;
        int32_t n = 0;
        for (int64_t j = 0; j < c.n_kv; ++j) {
            const bool v = c.causal ? j < n_visible : rng() % 3 != 0;
            res.mask[row*c.n_kv + j] = v ? 0.0f : -INFINITY;
            if (v && n < c.n_always && rng() % 8 == 0) {
                res.always[row*c.n_always + n++] = (int32_t) j;
            }
        }
    }
    g.run(r, [&] {
        set_floats(q, res.q);
        set_floats(k_rows, normal(ggml_nelements(k_rows), rng));
        set_floats(m, res.mask);
        if (a) {
            ggml_backend_tensor_set(a, res.always.data(), 0, ggml_nbytes(a));
        }
    }, c.n_threads);
    res.k   = to_floats(k_rows);
    res.got = to_ints(r);
    return res;
}

// the rows must be `always` and the best of the other visible cells below n_frozen by score(row, cell), ascending
void check(const select_case & c, const select_run & r, const std::function<double(int64_t, int64_t)> & score) {
    for (int64_t row = 0; row < c.n_tokens*c.n_stream; ++row) {
        const auto first = r.always.begin() + row*c.n_always;
        std::vector<int32_t> expected(first, std::find(first, first + c.n_always, -1));
        std::vector<std::pair<double, int32_t>> scores;
        for (int64_t j = 0; j < (c.n_frozen > 0 ? c.n_frozen : c.n_kv); ++j) {
            if (r.visible(c, row, j) && std::find(expected.begin(), expected.end(), (int32_t) j) == expected.end()) {
                scores.emplace_back(-score(row, j), (int32_t) j);
            }
        }
        std::sort(scores.begin(), scores.end());
        for (size_t i = 0; i < std::min<size_t>(scores.size(), c.n_top_k - c.n_always); ++i) {
            expected.push_back(scores[i].second);
        }
        std::sort(expected.begin(), expected.end());
        expected.resize(c.n_top_k, -1);
        CHECK(std::vector<int32_t>(r.got.begin() + row*c.n_top_k, r.got.begin() + (row + 1)*c.n_top_k) == expected);
    }
}

double best_logit(const select_case & c, const select_run & r, int64_t row, int64_t j) {
    double best = -INFINITY;
    for (int64_t h = 0; h < c.n_head; ++h) {
        best = std::max(best, r.logit(c, row, h, j));
    }
    return best;
}

// cases that every selector must pass
std::vector<select_case> cases() {
    std::vector<select_case> res(7);
    res[1].n_always = 6;
    res[2].n_stream = 2;
    res[2].n_always = 3;
    res[3].causal = false;
    res[4].n_frozen = 77;
    res[4].n_always = 6;
    res[5].n_top_k = 500;
    res[6].type = GGML_TYPE_Q8_0;
    res[6].n_threads = 3;
    return res;
}

} // namespace

TEST("dot: the largest logit of any head") {
    for (const auto & c : cases()) {
        const auto r = run(c, GGML_ANN_SELECTOR_DOT);
        check(c, r, [&](int64_t row, int64_t j) { return best_logit(c, r, row, j); });
    }
}

TEST("dot with one head of search vectors is ggml_ann_topk's oracle") {
    select_case c;
    c.n_head = c.n_head_kv = 1;
    c.n_tokens = 40;
    c.n_always = 6;
    const auto r = run(c, GGML_ANN_SELECTOR_DOT);
    graph g;
    auto * q = g.tensor(GGML_TYPE_F32, c.d, c.n_tokens);
    auto * k = g.tensor(c.type, c.d, c.n_kv);
    auto * m = g.tensor(GGML_TYPE_F16, c.n_kv, c.n_tokens);
    auto * a = g.tensor(GGML_TYPE_I32, c.n_always, c.n_tokens);
    auto * top = ggml_ann_topk(g.ctx.get(), q, k, m, a, c.n_top_k);
    g.run(top, [&] {
        set_floats(q, r.q);
        set_floats(k, r.k);
        set_floats(m, r.mask);
        ggml_backend_tensor_set(a, r.always.data(), 0, ggml_nbytes(a));
    }, 2);
    CHECK(to_ints(top) == r.got);
}

TEST("pages: the bound of the visible keys of a page, no logit of the page exceeds it") {
    for (const auto & c : cases()) {
        const auto r = run(c, GGML_ANN_SELECTOR_PAGES);
        auto bound = [&](int64_t row, int64_t j) {
            const int64_t s = row/c.n_tokens, t = row % c.n_tokens;
            double best = -INFINITY;
            for (int64_t h = 0; h < c.n_head; ++h) {
                double sum = 0.0;
                for (int64_t i = 0; i < c.d; ++i) {
                    double low = INFINITY, high = -INFINITY;
                    for (int64_t jj = j/16*16; jj < std::min(c.n_kv, j/16*16 + 16); ++jj) {
                        if (r.visible(c, row, jj)) {
                            const double x = r.k[((s*c.n_kv + jj)*c.n_head_kv + h/(c.n_head/c.n_head_kv))*c.d + i];
                            low  = std::min(low, x);
                            high = std::max(high, x);
                        }
                    }
                    const double x = r.q[((s*c.n_head + h)*c.n_tokens + t)*c.d + i];
                    sum += std::max(x*low, x*high);
                }
                best = std::max(best, sum);
            }
            CHECK_LE(best_logit(c, r, row, j), best + 1e-9);
            return best;
        };
        check(c, r, bound);
    }
}

TEST("recent: the last cells") {
    for (const auto & c : cases()) {
        check(c, run(c, GGML_ANN_SELECTOR_RECENT), [&](int64_t, int64_t j) { return (double) j; });
    }
}

TEST("random and BigBird: as many cells as K, other ones for another seed, the last half kept by BigBird") {
    select_case c;
    c.n_always = 4;
    const auto a = run(c, GGML_ANN_SELECTOR_RANDOM), again = run(c, GGML_ANN_SELECTOR_RANDOM);
    CHECK(a.got == again.got);
    c.seed = 8;
    CHECK(run(c, GGML_ANN_SELECTOR_RANDOM).got != a.got);
    const auto b = run(c, GGML_ANN_SELECTOR_BIGBIRD);
    for (int64_t row = 0; row < c.n_tokens; ++row) {
        std::vector<int32_t> recent;
        const auto first = b.always.begin() + row*c.n_always, list = b.got.begin() + row*c.n_top_k;
        for (int64_t j = c.n_kv - 1; j >= 0 && recent.size() < 18; --j) { // (40 - 4)/2
            if (b.visible(c, row, j) && std::find(first, first + c.n_always, (int32_t) j) == first + c.n_always) {
                recent.push_back((int32_t) j);
            }
        }
        for (int32_t j : recent) {
            CHECK(std::find(list, list + c.n_top_k, j) != list + c.n_top_k);
        }
        int64_t n_far = 0;
        for (int64_t i = 0; i < c.n_top_k && list[i] >= 0; ++i) {
            CHECK(b.visible(c, row, list[i]));
            n_far += list[i] < 140;
        }
        CHECK(n_far >= 5); // of about 14 random cells there
    }
}

TEST("random: every cell is as likely as another") {
    select_case c;
    c.n_kv = 64;
    c.n_top_k = 16;
    c.n_tokens = 1;
    std::vector<int> counts(c.n_kv);
    for (c.seed = 0; c.seed < 400; ++c.seed) {
        for (int32_t j : run(c, GGML_ANN_SELECTOR_RANDOM).got) {
            ++counts[j];
        }
    }
    for (int64_t j = 0; j < 59; ++j) { // 59 visible: 400*16/59 = 108, standard deviation 9
        CHECK(counts[j] > 65 && counts[j] < 155);
    }
}

TEST("LSH: a key along a query is found, buckets of both are compared by direction, not length") {
    select_case c;
    c.n_head = c.n_head_kv = 1;
    c.n_tokens = 1;
    c.n_top_k = 8;
    c.type = GGML_TYPE_F32;
    int found = 0;
    for (uint32_t i = 0; i < 20; ++i) {
        std::mt19937 rng(i);
        graph g;
        auto * q = g.tensor(GGML_TYPE_F32, c.d, 1);
        auto * k = g.tensor(GGML_TYPE_F32, c.d, c.n_kv);
        auto * m = g.tensor(GGML_TYPE_F32, c.n_kv, 1);
        auto * r = ggml_ann_select(g.ctx.get(), q, k, m, nullptr, c.n_top_k, GGML_ANN_SELECTOR_LSH, (int32_t) i, 0);
        const auto qv = normal(c.d, rng);
        auto kv = normal(c.d*c.n_kv, rng);
        for (int64_t e = 0; e < c.d; ++e) {
            kv[123*c.d + e] = 0.05f*qv[e] + 0.002f*kv[123*c.d + e];
        }
        g.run(r, [&] {
            set_floats(q, qv);
            set_floats(k, kv);
            set_floats(m, std::vector<float>(c.n_kv, 0.0f));
        }, 2);
        const auto got = to_ints(r);
        found += std::find(got.begin(), got.end(), 123) != got.end();
    }
    CHECK_EQ(found, 20);
    for (const auto & other : cases()) { // visible cells, none twice, as many as there are
        const auto r = run(other, GGML_ANN_SELECTOR_LSH);
        for (int64_t row = 0; row < other.n_tokens*other.n_stream; ++row) {
            int64_t n_visible = 0, n_got = 0;
            for (int64_t j = 0; j < other.n_kv; ++j) {
                n_visible += r.visible(other, row, j);
            }
            for (int64_t i = 0; i < other.n_top_k && r.got[row*other.n_top_k + i] >= 0; ++i, ++n_got) {
                CHECK(r.visible(other, row, r.got[row*other.n_top_k + i]));
                CHECK(i == 0 || r.got[row*other.n_top_k + i] > r.got[row*other.n_top_k + i - 1]);
            }
            CHECK_LE(n_got, std::min<int64_t>(n_visible, other.n_top_k));
            if (other.n_frozen == 0 && other.n_always == 0) {
                CHECK_EQ(n_got, std::min<int64_t>(n_visible, other.n_top_k));
            }
        }
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
