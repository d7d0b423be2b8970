#include "clustered-keys.h"

#include <cmath>

namespace ann_idx {

namespace {

constexpr size_t n_noise = size_t(1) << 16;

std::vector<float> normals(size_t n, std::mt19937_64 & random) {
    std::normal_distribution<float> normal;
    std::vector<float>              res(n);
    for (float & value : res) {
        value = normal(random);
    }
    return res;
}

}  // namespace

clustered_keys::clustered_keys(int dim, uint64_t seed) :
    dim_(dim),
    random_(seed),
    topics_(normals(size_t(n_topics) * size_t(dim), random_)),
    words_(normals(size_t(n_words) * size_t(dim), random_)),
    noise_(normals(n_noise + 2 * size_t(dim), random_)),
    drift_(size_t(dim)) {}

void clustered_keys::next(float * row) {
    std::uniform_real_distribution<double> uniform;
    if (random_() % 100 == 0) {
        topic_ = size_t(random_() % n_topics);
    }
    const size_t  word  = size_t(std::pow(double(n_words), uniform(random_))) % n_words;
    const float * topic = topics_.data() + topic_ * size_t(dim_);
    const float * of    = words_.data() + word * size_t(dim_);
    const float * noise = noise_.data() + random_() % n_noise;  // shifted pieces of one noise are as good as fresh noise here
    double        sum   = 0;
    for (int i = 0; i < dim_; ++i) {
        drift_[size_t(i)] = 0.95f * drift_[size_t(i)] + 0.31f * noise[dim_ + i];
        row[i]            = topic[i] + of[i] + 0.7f * drift_[size_t(i)] + 0.5f * noise[i];
        sum += double(row[i]) * double(row[i]);
    }
    const float scale = float(1 / std::sqrt(sum));
    for (int i = 0; i < dim_; ++i) {
        row[i] *= scale;
    }
}

}  // namespace ann_idx
