// AdamW with decoupled weight decay, betas 0.9 and 0.999.
#pragma once

#include <cstdint>
#include <vector>

namespace ann {

struct adamw_state {
    std::vector<float> m, v; // of the size of the weights
};

// One update of w by gradient*scale. step counts from 1.
void adamw(std::vector<float> & w, adamw_state & state, const std::vector<float> & gradient, double scale, int64_t step,
        double learning_rate, double weight_decay);

// linear warm-up to `peak`, then half a cosine down to `end` at n_steps; step counts from 0
double learning_rate_at(int64_t step, int64_t n_steps, int64_t n_warmup, double peak, double end);

} // namespace ann
