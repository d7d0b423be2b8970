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

} // namespace

trainer::trainer(const trainer_params & params, std::unique_ptr<objective> objective) :
    params(params), layers(params.layers.size()), losses(std::move(objective)) {
    if (!losses) {
        losses = std::make_unique<layer_objective>(params.shape, params.objective, params.n_threads);
    }
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

std::vector<std::vector<int32_t>> trainer::draw_queries(int32_t n_tokens, const std::vector<int32_t> & marked) const {
    const size_t n_lists = (size_t) params.n_updates;
    const size_t n_most  = (size_t) n_tokens/n_lists;
    const size_t n       = params.n_queries == 0 ? n_most : std::min((size_t) params.n_queries, n_most);
    std::vector<uint8_t> taken((size_t) n_tokens);
    std::vector<std::vector<int32_t>> lists(n_lists);
    for (size_t i = 0; i < marked.size() && i < n_lists*(n/2); ++i) {
        if (!taken[(size_t) marked[i]]) {
            taken[(size_t) marked[i]] = 1;
            lists[i % n_lists].push_back(marked[i]);
        }
    }
    std::vector<int32_t> others;
    for (int32_t i = 0; i < n_tokens; ++i) {
        if (!taken[(size_t) i]) {
            others.push_back(i);
        }
    }
    random_source random { ((uint64_t) params.seed << 40) ^ (uint64_t) step };
    size_t next = 0;
    for (auto & list : lists) {
        for (; list.size() < n && next < others.size(); ++next) { // a shuffle, as far as it is needed
            std::swap(others[next], others[next + random.next() % (others.size() - next)]);
            list.push_back(others[next]);
        }
        std::sort(list.begin(), list.end());
    }
    return lists;
}

double trainer::learning_rate(int64_t at) const {
    return learning_rate_at(at, params.n_steps, params.n_warmup, params.learning_rate, params.learning_rate_end);
}

double trainer::learn(const captured_layer & x, const std::vector<std::vector<int32_t>> & queries) {
    layer & l = layers[(size_t) index_of(x.layer)];
    const objective_params & o = params.objective;
    double loss = 0.0;
    for (size_t i = 0; i < queries.size(); ++i) {
        objective_sums sums;
        losses->add(x, queries[i], l.w, sums);
        double square = 0.0;
        for (const auto * g : { &sums.gradient.q, &sums.gradient.k }) {
            for (float value : *g) {
                square += (double) value*value;
            }
        }
        const double scale = sums.weight > 0.0 ? 1.0/sums.weight : 0.0;
        const double norm  = std::sqrt(square)*scale;
        const double cut   = params.clip > 0.0f && norm > params.clip ? params.clip/norm : 1.0;
        const int64_t at   = step + (int64_t) i;
        const double rate  = learning_rate(at);
        adamw(l.w.q, l.q, sums.gradient.q, scale*cut, at + 1, rate, params.weight_decay);
        adamw(l.w.k, l.k, sums.gradient.k, scale*cut, at + 1, rate, params.weight_decay);
        const double total = o.kl*sums.kl + o.kl_unit*sums.kl_unit + o.contrastive*sums.contrastive;
        loss += sums.loss_weight > 0.0 ? total/sums.loss_weight/(double) queries.size() : 0.0;
    }
    return loss;
}

double trainer::mass(const captured_layer & x, const std::vector<int32_t> & queries, int32_t top_k) {
    return losses->mass(x, queries, layers[(size_t) index_of(x.layer)].w, top_k);
}

} // namespace ann
