// Search projections of some layers in training: weights and optimiser. Layers are independent, so a layer makes all its
// updates of a window when the window's data of that layer are there. Knows nothing of how a window is computed; see
// capi/train.cpp.
#pragma once

#include "adamw.h"
#include "objective.h"

#include <memory>

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
    int32_t  n_updates         = 4;    // of a window
    int32_t  n_queries         = 1024; // of an update; 0: all that its share of the window holds
    int32_t  n_threads         = 1;
    uint32_t seed              = 1;
};

class trainer {
public:
    struct layer {
        projection_pair w;
        adamw_state     q, k;
    };

    // learns by `objective`; nullptr: a layer_objective of n_threads
    explicit trainer(const trainer_params & params, std::unique_ptr<objective> objective = nullptr);

    const trainer_params params;
    std::vector<layer>   layers;
    int64_t              step = 0; // updates done by every layer

    // index into `layers`, -1: not trained
    int32_t index_of(int32_t il) const;

    // The queries of the coming updates of a window of n_tokens: one ascending list an update, no query twice. `marked`
    // rows are dealt first and fill at most half of a list.
    std::vector<std::vector<int32_t>> draw_queries(int32_t n_tokens, const std::vector<int32_t> & marked) const;

    // One update of a layer for every list; returns the mean loss. The caller adds the updates to `step` when all layers
    // have made them.
    double learn(const captured_layer & x, const std::vector<std::vector<int32_t>> & queries);

    double learning_rate(int64_t at) const;
    double mass(const captured_layer & x, const std::vector<int32_t> & queries, int32_t top_k);

private:
    std::unique_ptr<objective> losses;
};

} // namespace ann
