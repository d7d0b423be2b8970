// Search keys as a text's: for measurements, where nothing computes real ones.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace ann_idx {

// A walk through topics and words (ranked by Zipf's law) with a drift and noise, normalised: rows lie in clusters of very
// different size, and neighbours in the text are near to each other. An index over independent noise would be no model of
// one over keys: there no row is near to another.
class clustered_keys {
  public:
    clustered_keys(int dim, uint64_t seed);

    // Writes the next row, dim values.
    void next(float * row);

  private:
    static constexpr int n_topics = 256;
    static constexpr int n_words  = 8192;

    int                dim_;
    std::mt19937_64    random_;
    std::vector<float> topics_;
    std::vector<float> words_;
    std::vector<float> noise_;
    std::vector<float> drift_;
    size_t             topic_ = 0;
};

}  // namespace ann_idx
