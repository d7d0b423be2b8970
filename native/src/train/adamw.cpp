#include "adamw.h"

#include "matrix.h"

#include <algorithm>
#include <cmath>

namespace ann {

void adamw(std::vector<float> & w, adamw_state & state, const std::vector<float> & gradient, double scale, int64_t step,
        double learning_rate, double weight_decay) {
    constexpr double beta_1 = 0.9, beta_2 = 0.999;
    state.m.resize(w.size());
    state.v.resize(w.size());
    const double unbias_1 = 1.0 - std::pow(beta_1, (double) step);
    const double unbias_2 = 1.0 - std::pow(beta_2, (double) step);
    update({ w.data(), state.m.data(), state.v.data(), gradient.data(), w.size(), (float) scale, (float) beta_1, (float) beta_2,
        (float) (1.0 - learning_rate*weight_decay), (float) (learning_rate/unbias_1), (float) (1.0/unbias_2) });
}

double learning_rate_at(int64_t step, int64_t n_steps, int64_t n_warmup, double peak, double end) {
    const double warm = n_warmup > 0 ? std::min(1.0, (double) (step + 1)/(double) n_warmup) : 1.0;
    const double done = std::min(1.0, (double) step/(double) std::max<int64_t>(1, n_steps));
    return warm*(end + (peak - end)*0.5*(1.0 + std::cos(3.14159265358979323846*done)));
}

} // namespace ann
