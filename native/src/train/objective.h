// The training objective of one layer's search projections, with its gradient in closed form.
//
// For a query i the search is responsible for the cells A = [n_sink, i - n_window]: sinks and window are always attended.
// (In a packed window both counts begin at the query's document.)
//   teacher t      attention probabilities of the frozen model, joined over heads (mean or max), on A, sum 1
//   weight  w      1, or the query's attention mass on A (mean over heads): what search can lose there
//   u, v           search query and key: rotate(W h); cos = u.v / (|u| |v|) ranks cells
//   kl             KL(t || softmax over A of u.v / sqrt(d))         as published
//   kl_unit        KL(t || softmax over A of u.v / |v|)             of the key only the direction counts, as in the search;
//                                                                   the length of u is the query's own temperature
//   contrastive    mean over the teacher's best cells of -log softmax over A of cos / temperature      as published
//   loss = sum over queries of w*(kl*.. + kl_unit*.. + contrastive*..) / sum of w
//
// Queries are worked on in small blocks: memory grows with the window, never with its square.
#pragma once

#include "capture.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ann {

struct search_shape {
    int32_t n_embd        = 0;
    int32_t n_embd_search = 0;
    int32_t n_rot         = 0; // leading dims that are rotated by position (NeoX halves); 0: none
    float   freq_base     = 0.0f;
    int32_t n_window      = 0;
    int32_t n_sink        = 0;
};

struct objective_params {
    bool    teacher_mean = true;  // false: max over heads
    bool    by_mass      = true;  // weight queries by their mass on A
    float   kl           = 0.0f;
    float   kl_unit      = 1.0f;
    float   contrastive  = 0.0f;
    float   temperature  = 0.07f;
    int32_t n_positives  = 16;
};

// [n_embd_search][n_embd] each
struct projection_pair {
    std::vector<float> q, k;
};

// Sums over queries; divide by `weight`. The losses are sums over every 8th query (`loss_weight`), to save logarithms.
struct objective_sums {
    static constexpr size_t LOSS_EVERY = 8;

    projection_pair gradient;
    double weight      = 0.0;
    double loss_weight = 0.0;
    double kl          = 0.0;
    double kl_unit     = 0.0;
    double contrastive = 0.0;
};

inline int32_t document_start(const captured_layer & x, int32_t position) {
    return x.starts.empty() ? 0 : x.starts[(size_t) position];
}

class objective {
public:
    virtual ~objective() = default;

    // x: one layer of a whole window, the first token at position 0; queries: ascending rows of it
    virtual void add(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, objective_sums & sums) = 0;

    // Mean over queries and heads of the attention mass on sinks, window and the cells of the best search scores, top_k
    // in all.
    virtual double mass(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, int32_t top_k) = 0;
};

// On CPUs, without ggml. Results do not depend on the number of threads. Oracle of graph_objective.
class layer_objective final : public objective {
public:
    layer_objective(const search_shape & shape, const objective_params & params, int32_t n_threads);

    void   add(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, objective_sums & sums) override;
    double mass(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, int32_t top_k) override;

private:
    struct vectors;
    struct block;

    const search_shape     shape;
    const objective_params params;
    const int32_t          n_threads;
    std::vector<float>     cos_sin; // [n_tokens][n_rot/2][2], as far as needed until now

    void    rotate(float * x, int32_t position, bool back) const;
    void    prepare(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, vectors & v);
    void    teach(const captured_layer & x, const vectors & v, block & b, bool mean) const;
    void    objective_row(const captured_layer & x, const vectors & v, block & b, size_t row, size_t query, objective_sums & sums, float * key_back) const;
    int32_t first_far(const captured_layer & x, int32_t position) const { return document_start(x, position) + shape.n_sink; } // A begins
    int32_t first_near(int32_t position) const { return position - shape.n_window + 1; } // A ends before it
};

} // namespace ann
