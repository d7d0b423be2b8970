// Search projections of some layers in training: weights, optimiser, and the gradient of the windows seen since the
// last update. Knows nothing of how a window is computed; see capi/train.cpp.
#pragma once

#include "adamw.h"
#include "objective.h"

namespace ann {

struct trainer_params {
    search_shape     shape;
    objective_params objective;
    std::vector<int32_t> layers; // ascending
    float    learning_rate     = 2e-3f;
    float    learning_rate_end = 1e-4f;
    float    weight_decay      = 0.01f;
    float    clip              = 1.0f; // largest norm of a layer's gradient; 0: none
    int64_t  n_steps           = 300;
    int64_t  n_warmup          = 30;
    int32_t  n_queries         = 1024; // of a window; 0: all
    int32_t  n_threads         = 1;
    uint32_t seed              = 1;
};

class trainer {
public:
    struct layer {
        projection_pair w;
        adamw_state     q, k;
        objective_sums  sums, window; // of finished windows; of the one in progress
    };

    explicit trainer(const trainer_params & params);

    const trainer_params params;
    std::vector<layer>   layers;
    int64_t              step = 0; // updates done

    // index into `layers`, -1: not trained
    int32_t index_of(int32_t il) const;

    // The queries of the next window of n_tokens: `marked` rows (at most half of all) and drawn ones, ascending.
    std::vector<int32_t> draw_queries(int32_t n_tokens, const std::vector<int32_t> & marked);

    void begin_window();
    void add_layer(const captured_layer & x, const std::vector<int32_t> & queries);
    void end_window(); // counts it
    bool has_gradient() const { return n_windows > 0; }

    struct update_report {
        double learning_rate = 0.0;
        std::vector<double> loss; // per layer
    };
    update_report update();

    double mass(const captured_layer & x, const std::vector<int32_t> & queries, int32_t top_k);

private:
    layer_objective objective;
    int64_t         n_windows = 0; // since the last update
};

} // namespace ann
