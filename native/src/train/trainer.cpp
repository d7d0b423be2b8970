#include "trainer.h"

#include <algorithm>
#include <cmath>

namespace ann {

namespace {

// splitmix64: the same numbers on every platform
struct random_source {
    uint64_t state;

    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15ull;
        z = (z ^ (z >> 30))*0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27))*0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }
    double uniform() { return ((double) (next() >> 11) + 0.5)*0x1p-53; }
    double normal()  { return std::sqrt(-2.0*std::log(uniform()))*std::cos(6.283185307179586*uniform()); }
};

void add_to(std::vector<float> & to, const std::vector<float> & from) {
    to.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        to[i] += from[i];
    }
}

} // namespace

trainer::trainer(const trainer_params & params) :
    params(params), layers(params.layers.size()), objective(params.shape, params.objective, params.n_threads) {
    const size_t n = (size_t) params.shape.n_embd_search*params.shape.n_embd;
    const double deviation = 0.02*std::sqrt(384.0/params.shape.n_embd); // as published, for any width
    for (size_t i = 0; i < layers.size(); ++i) {
        random_source random { ((uint64_t) params.seed << 32) + (uint64_t) params.layers[i] };
        for (auto * w : { &layers[i].w.q, &layers[i].w.k }) {
            w->resize(n);
            std::generate(w->begin(), w->end(), [&] { return (float) (deviation*random.normal()); });
        }
        for (auto * state : { &layers[i].q, &layers[i].k }) {
            state->m.resize(n);
            state->v.resize(n);
        }
    }
}

int32_t trainer::index_of(int32_t il) const {
    const auto found = std::lower_bound(params.layers.begin(), params.layers.end(), il);
    return found != params.layers.end() && *found == il ? (int32_t) (found - params.layers.begin()) : -1;
}

std::vector<int32_t> trainer::draw_queries(int32_t n_tokens, const std::vector<int32_t> & marked) {
    const int32_t n = params.n_queries == 0 ? n_tokens : std::min(params.n_queries, n_tokens);
    std::vector<uint8_t> taken((size_t) n_tokens);
    int32_t n_taken = 0;
    for (size_t i = 0; i < marked.size() && n_taken < (n + 1)/2; ++i) {
        n_taken += !taken[(size_t) marked[i]];
        taken[(size_t) marked[i]] = 1;
    }
    random_source random { ((uint64_t) params.seed << 40) ^ ((uint64_t) step << 12) ^ (uint64_t) n_windows };
    std::vector<int32_t> others;
    for (int32_t i = 0; i < n_tokens; ++i) {
        if (!taken[(size_t) i]) {
            others.push_back(i);
        }
    }
    for (size_t i = 0; n_taken < n; ++i, ++n_taken) { // the beginning of a shuffle
        std::swap(others[i], others[i + random.next() % (others.size() - i)]);
        taken[(size_t) others[i]] = 1;
    }
    std::vector<int32_t> res;
    for (int32_t i = 0; i < n_tokens; ++i) {
        if (taken[(size_t) i]) {
            res.push_back(i);
        }
    }
    return res;
}

void trainer::begin_window() {
    for (layer & l : layers) {
        l.window = {};
    }
}

void trainer::add_layer(const captured_layer & x, const std::vector<int32_t> & queries) {
    layer & l = layers[(size_t) index_of(x.layer)];
    objective.add(x, queries, l.w, l.window);
}

void trainer::end_window() {
    for (layer & l : layers) {
        add_to(l.sums.gradient.q, l.window.gradient.q);
        add_to(l.sums.gradient.k, l.window.gradient.k);
        l.sums.weight      += l.window.weight;
        l.sums.loss_weight += l.window.loss_weight;
        l.sums.kl          += l.window.kl;
        l.sums.kl_unit     += l.window.kl_unit;
        l.sums.contrastive += l.window.contrastive;
    }
    n_windows += 1;
}

trainer::update_report trainer::update() {
    update_report report;
    report.learning_rate = learning_rate_at(step, params.n_steps, params.n_warmup, params.learning_rate, params.learning_rate_end);
    step += 1;
    const objective_params & o = params.objective;
    for (layer & l : layers) {
        double square = 0.0;
        for (const auto * g : { &l.sums.gradient.q, &l.sums.gradient.k }) {
            for (float x : *g) {
                square += (double) x*x;
            }
        }
        const double scale = l.sums.weight > 0.0 ? 1.0/l.sums.weight : 0.0;
        const double norm  = std::sqrt(square)*scale;
        const double cut   = params.clip > 0.0f && norm > params.clip ? params.clip/norm : 1.0;
        adamw(l.w.q, l.q, l.sums.gradient.q, scale*cut, step, report.learning_rate, params.weight_decay);
        adamw(l.w.k, l.k, l.sums.gradient.k, scale*cut, step, report.learning_rate, params.weight_decay);
        const double loss = o.kl*l.sums.kl + o.kl_unit*l.sums.kl_unit + o.contrastive*l.sums.contrastive;
        report.loss.push_back(l.sums.loss_weight > 0.0 ? loss/l.sums.loss_weight : 0.0);
        l.sums = {};
    }
    n_windows = 0;
    return report;
}

double trainer::mass(const captured_layer & x, const std::vector<int32_t> & queries, int32_t top_k) {
    return objective.mass(x, queries, layers[(size_t) index_of(x.layer)].w, top_k);
}

} // namespace ann
