// The objective and the optimiser against plain double precision: losses by their definitions, gradients by differences,
// one whole training step written out.
#include "../check.h"
#include "random-layer.h"

#include "train/matrix.h"
#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace ann;

namespace {

using doubles = std::vector<double>;

doubles project(const search_shape & s, const doubles & w, const float * h, int32_t position) {
    doubles res((size_t) s.n_embd_search);
    for (int32_t i = 0; i < s.n_embd_search; ++i) {
        for (int32_t k = 0; k < s.n_embd; ++k) {
            res[(size_t) i] += w[(size_t) i*s.n_embd + k]*h[k];
        }
    }
    for (int32_t i = 0; i < s.n_rot/2; ++i) {
        const double angle = position*std::pow((double) s.freq_base, -2.0*i/s.n_rot);
        const double a = res[(size_t) i], b = res[(size_t) (i + s.n_rot/2)];
        res[(size_t) i]               = a*std::cos(angle) - b*std::sin(angle);
        res[(size_t) (i + s.n_rot/2)] = b*std::cos(angle) + a*std::sin(angle);
    }
    return res;
}

double dot(const doubles & a, const doubles & b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        sum += a[i]*b[i];
    }
    return sum;
}

// attention probabilities of query i: [head][cell]
std::vector<doubles> attention(const captured_layer & x, int32_t i) {
    std::vector<doubles> res;
    for (int32_t h = 0; h < HEADS; ++h) {
        doubles p;
        double sum = 0.0;
        for (int32_t j = 0; j <= i; ++j) {
            if (j < document_start(x, i)) {
                p.push_back(0.0);
                continue;
            }
            double s = 0.0;
            for (int32_t d = 0; d < DK; ++d) {
                s += (double) x.q[((size_t) i*HEADS + h)*DK + d]*x.k[((size_t) j*HEADS_KV + h/(HEADS/HEADS_KV))*DK + d];
            }
            s *= x.kq_scale;
            p.push_back(std::exp(x.softcap > 0.0f ? x.softcap*std::tanh(s/x.softcap) : s));
            sum += p.back();
        }
        for (double & v : p) {
            v /= sum;
        }
        res.push_back(p);
    }
    return res;
}

struct losses {
    double weight = 0.0, kl = 0.0, kl_unit = 0.0, contrastive = 0.0;
    double total(const objective_params & p) const { return (p.kl*kl + p.kl_unit*kl_unit + p.contrastive*contrastive)/weight; }
};

// the definitions of objective.h; every: only each n-th query counts
losses reference(const captured_layer & x, const search_shape & s, const objective_params & p, const std::vector<int32_t> & queries,
        const doubles & wq, const doubles & wk, size_t every = 1) {
    std::vector<doubles> v;
    for (int32_t t = 0; t < T; ++t) {
        v.push_back(project(s, wk, &x.h[(size_t) t*D], t));
    }
    losses res;
    for (size_t n = 0; n < queries.size(); n += every) {
        const int32_t i = queries[n], begin = document_start(x, i) + s.n_sink, end = i - s.n_window + 1;
        if (end - begin < 2) {
            continue;
        }
        const auto probs = attention(x, i);
        doubles t;
        double sum = 0.0, mass = 0.0;
        for (int32_t j = begin; j < end; ++j) {
            double mean = 0.0, max = 0.0;
            for (const auto & head : probs) {
                mean += head[(size_t) j]/HEADS;
                max = std::max(max, head[(size_t) j]);
            }
            mass += mean;
            t.push_back(p.teacher_mean ? mean : max);
            sum += t.back();
        }
        const doubles u = project(s, wq, &x.h[(size_t) i*D], i);
        const double nu = std::sqrt(dot(u, u));
        doubles raw, unit, cosine;
        for (int32_t j = begin; j < end; ++j) {
            const double d = dot(u, v[(size_t) j]), nv = std::sqrt(dot(v[(size_t) j], v[(size_t) j]));
            raw.push_back(d/std::sqrt((double) s.n_embd_search));
            unit.push_back(d/nv);
            cosine.push_back(d/nv/nu/p.temperature);
        }
        auto log_sum = [](const doubles & z) {
            double total = 0.0;
            for (double a : z) {
                total += std::exp(a);
            }
            return std::log(total);
        };
        const double w = p.by_mass ? mass : 1.0;
        res.weight += w;
        std::vector<std::pair<double, size_t>> order;
        for (size_t j = 0; j < t.size(); ++j) {
            t[j] /= sum;
            order.emplace_back(-t[j], j);
            res.kl      += w*t[j]*(std::log(t[j]) - raw[j] + log_sum(raw));
            res.kl_unit += w*t[j]*(std::log(t[j]) - unit[j] + log_sum(unit));
        }
        std::sort(order.begin(), order.end());
        const size_t n_best = std::min<size_t>(order.size(), (size_t) p.n_positives);
        for (size_t k = 0; k < n_best; ++k) {
            res.contrastive += w*(log_sum(cosine) - cosine[order[k].second])/n_best;
        }
    }
    return res;
}

doubles widen(const std::vector<float> & v) { return doubles(v.begin(), v.end()); }

} // namespace

TEST("products of any shape, packed and transposed, equal plain sums") {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    for (size_t n_i : { 1, 5, 6, 13 }) for (size_t n_j : { 1, 16, 31, 64 }) for (size_t n_k : { 1, 7, 100 }) {
        std::vector<float> a(n_i*n_k), b(n_j*n_k), packed((n_j + 15)/16*16*n_k), c(n_i*n_j, 0.5f), d(n_i*n_j, 0.5f);
        std::generate(a.begin(), a.end(), [&] { return uniform(random); });
        std::generate(b.begin(), b.end(), [&] { return uniform(random); }); // [n_j][n_k]
        pack_columns(b.data(), n_j, n_k, n_k, packed.data());
        multiply({ n_i, n_j, n_k, a.data(), n_k, 1, packed.data(), 16, 16*n_k, c.data(), n_j, false });
        std::vector<float> plain(n_k*n_j); // [n_k][n_j]
        for (size_t k = 0; k < n_k; ++k) for (size_t j = 0; j < n_j; ++j) {
            plain[k*n_j + j] = b[j*n_k + k];
        }
        multiply({ n_i, n_j, n_k, a.data(), 1, n_i, plain.data(), n_j, 16, d.data(), n_j, true }); // a as [n_k][n_i]
        for (size_t i = 0; i < n_i; ++i) for (size_t j = 0; j < n_j; ++j) {
            double x = 0.0, y = 0.5;
            for (size_t k = 0; k < n_k; ++k) {
                x += (double) a[i*n_k + k]*b[j*n_k + k];
                y += (double) a[k*n_i + i]*b[j*n_k + k];
            }
            CHECK_LE(std::fabs(c[i*n_j + j] - x), 1e-4);
            CHECK_LE(std::fabs(d[i*n_j + j] - y), 1e-4);
        }
    }
}

TEST("exponentials are exact to f32, and their sum") {
    std::vector<float> x;
    for (int i = 0; i < 3001; ++i) {
        x.push_back(-100.0f + i*0.04f);
    }
    std::vector<float> y = x;
    double expected = 0.0;
    const double sum = exponentials(y.data(), y.size(), 0.5f, 2.0f);
    for (size_t i = 0; i < x.size(); ++i) {
        const double e = std::exp(x[i]*0.5 - 2.0);
        expected += e;
        CHECK_LE(std::fabs(y[i] - e), 4e-7*(1.0 + std::fabs(x[i]))*e + 1e-37); // the argument is rounded to f32
    }
    CHECK_LE(std::fabs(sum - expected), 1e-6*expected);
    CHECK_EQ(largest(x.data(), x.size()), x.back());
    std::vector<float> low = { -200.0f, -1000.0f, 0.0f };
    low.resize(40, -500.0f);
    CHECK_LE(std::fabs(exponentials(low.data(), low.size(), 1.0f, 0.0f) - 1.0), 1e-6);
}

TEST("losses equal their definitions, in packed windows too") {
    for (bool pack : { false, true }) for (const auto & v : random_variants()) {
        const auto x = pack ? packed(random_layer(11, v.softcap)) : random_layer(11, v.softcap);
        const auto w = random_weights(v.shape, 5);
        const auto queries = some_queries();
        layer_objective objective(v.shape, v.params, 1);
        objective_sums sums;
        objective.add(x, queries, w, sums);
        const losses all = reference(x, v.shape, v.params, queries, widen(w.q), widen(w.k));
        const losses expected = reference(x, v.shape, v.params, queries, widen(w.q), widen(w.k), 8);
        CHECK_LE(std::fabs(sums.weight - all.weight), 1e-4*all.weight);
        CHECK_LE(std::fabs(sums.loss_weight - expected.weight), 1e-4*expected.weight);
        if (v.params.kl > 0)          { CHECK_LE(std::fabs(sums.kl - expected.kl), 1e-4*(1.0 + expected.kl)); }
        if (v.params.kl_unit > 0)     { CHECK_LE(std::fabs(sums.kl_unit - expected.kl_unit), 1e-4*(1.0 + expected.kl_unit)); }
        if (v.params.contrastive > 0) { CHECK_LE(std::fabs(sums.contrastive - expected.contrastive), 1e-4*(1.0 + expected.contrastive)); }
    }
}

TEST("gradients equal differences of the losses, in packed windows too") {
    for (bool pack : { false, true }) for (const auto & v : random_variants()) {
        const auto x = pack ? packed(random_layer(12, v.softcap)) : random_layer(12, v.softcap);
        const auto w = random_weights(v.shape, 6);
        const auto queries = some_queries();
        layer_objective objective(v.shape, v.params, 2);
        objective_sums sums;
        objective.add(x, queries, w, sums);
        doubles wq = widen(w.q), wk = widen(w.k);
        double largest_gradient = 0.0;
        for (float g : sums.gradient.q) {
            largest_gradient = std::max(largest_gradient, std::fabs(g/sums.weight));
        }
        CHECK(largest_gradient > 1e-4);
        for (bool key : { false, true }) {
            doubles & weights = key ? wk : wq;
            const auto & gradient = key ? sums.gradient.k : sums.gradient.q;
            for (size_t n = 0; n < 12; ++n) {
                const size_t i = (n*389 + 17) % weights.size();
                const double kept = weights[i], step = 1e-4;
                weights[i] = kept + step;
                const double up = reference(x, v.shape, v.params, queries, wq, wk).total(v.params);
                weights[i] = kept - step;
                const double down = reference(x, v.shape, v.params, queries, wq, wk).total(v.params);
                weights[i] = kept;
                CHECK_LE(std::fabs((up - down)/(2*step) - gradient[i]/sums.weight), 1e-3*largest_gradient);
            }
        }
    }
}

TEST("any number of threads gives the same bits") {
    for (const auto & v : random_variants()) {
        const auto x = random_layer(13, v.softcap);
        const auto w = random_weights(v.shape, 7);
        objective_sums one, five;
        layer_objective(v.shape, v.params, 1).add(x, some_queries(), w, one);
        layer_objective(v.shape, v.params, 5).add(x, some_queries(), w, five);
        CHECK(one.gradient.q == five.gradient.q && one.gradient.k == five.gradient.k);
        CHECK(one.weight == five.weight && one.kl_unit == five.kl_unit);
    }
}

TEST("the mass of a search equals that of a sorted list") {
    const auto v = random_variants()[2];
    const auto w = random_weights(v.shape, 8);
    const auto queries = some_queries();
    for (bool pack : { false, true }) for (int32_t top_k : { 10, 40, 400 }) {
        const auto x = pack ? packed(random_layer(14)) : random_layer(14);
        double expected = 0.0;
        for (int32_t i : queries) {
            const auto probs = attention(x, i);
            const doubles u = project(v.shape, widen(w.q), &x.h[(size_t) i*D], i);
            std::vector<std::pair<double, int32_t>> order;
            for (int32_t j = document_start(x, i); j <= i; ++j) {
                const doubles k = project(v.shape, widen(w.k), &x.h[(size_t) j*D], j);
                const bool always = j - document_start(x, i) < v.shape.n_sink || i - j < v.shape.n_window;
                order.emplace_back(always ? -1e30 : -dot(u, k)/std::sqrt(dot(k, k)), j);
            }
            std::sort(order.begin(), order.end());
            for (size_t n = 0; n < order.size() && n < (size_t) top_k; ++n) {
                for (const auto & head : probs) {
                    expected += head[(size_t) order[n].second]/HEADS/queries.size();
                }
            }
        }
        CHECK_LE(std::fabs(layer_objective(v.shape, v.params, 2).mass(x, queries, w, top_k) - expected), 1e-4);
    }
}

TEST("training steps equal AdamW written out in double precision") {
    const auto v = random_variants()[4];
    trainer_params p;
    p.shape = v.shape, p.objective = v.params, p.layers = { 0 };
    p.n_steps = 10, p.n_warmup = 2, p.n_updates = 2, p.n_queries = 60, p.clip = 0.05f, p.weight_decay = 0.1f;
    trainer t(p);
    doubles wq = widen(t.layers[0].w.q), wk = widen(t.layers[0].w.k), m(2*wq.size()), s(2*wq.size());
    std::vector<std::vector<int32_t>> lists;
    captured_layer x;
    projection_pair w = t.layers[0].w; // what each update starts from: the reference's weights, rounded to f32
    for (int step = 0; step < 4; ++step) {
        if (step % 2 == 0) {
            x = random_layer(20 + (unsigned) step, v.softcap);
            lists = t.draw_queries(T, { 140, 141 });
            CHECK_EQ(lists.size(), (size_t) 2);
            CHECK_EQ(std::count(lists[0].begin(), lists[0].end(), 140) + std::count(lists[1].begin(), lists[1].end(), 141), 2);
        }
        const auto & queries = lists[(size_t) step % 2];
        CHECK_EQ(queries.size(), (size_t) 60);
        CHECK(std::is_sorted(queries.begin(), queries.end()));

        objective_sums sums; // proved against differences above
        layer_objective(v.shape, v.params, 1).add(x, queries, w, sums);
        doubles g = widen(sums.gradient.q);
        g.insert(g.end(), sums.gradient.k.begin(), sums.gradient.k.end());
        double norm = 0.0;
        for (double & a : g) {
            a /= sums.weight;
            norm += a*a;
        }
        norm = std::sqrt(norm);
        CHECK(norm > p.clip);
        const double rate = std::min(1.0, (step + 1)/2.0)*(1e-4 + (2e-3 - 1e-4)*0.5*(1.0 + std::cos(M_PI*step/10.0)));
        for (size_t i = 0; i < g.size(); ++i) {
            double & w = i < wq.size() ? wq[i] : wk[i - wq.size()];
            const double a = g[i]*p.clip/norm;
            m[i] = 0.9*m[i] + 0.1*a;
            s[i] = 0.999*s[i] + 0.001*a*a;
            w -= rate*0.1*w;
            w -= rate*(m[i]/(1.0 - std::pow(0.9, step + 1)))/(std::sqrt(s[i]/(1.0 - std::pow(0.999, step + 1))) + 1e-8);
        }
        w.q.assign(wq.begin(), wq.end());
        w.k.assign(wk.begin(), wk.end());
        if (step % 2 == 0) {
            continue; // the window has a second update
        }
        CHECK(std::isfinite(t.learn(x, lists)));
        t.step += 2;
        double off = 0.0;
        for (size_t i = 0; i < wq.size(); ++i) {
            off = std::max({ off, std::fabs(wq[i] - t.layers[0].w.q[i]), std::fabs(wk[i] - t.layers[0].w.k[i]) });
        }
        CHECK_LE(off, 5e-6);
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
