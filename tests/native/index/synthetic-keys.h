// Keys and queries that cluster as those of a language model do, the same on every machine.
#pragma once

#include "vectors.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ann_test {

// splitmix64, and what is drawn from it.
class random_source {
  public:
    explicit random_source(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t x = (state_ += 0x9e3779b97f4a7c15);
        x          = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x          = (x ^ x >> 27) * 0x94d049bb133111eb;
        return x ^ x >> 31;
    }

    int32_t below(int32_t n) { return int32_t(next() % uint64_t(n)); }

    double uniform() { return double(next() >> 11) * 0x1p-53; }

    // Mean 0, variance 1: the sum of twelve uniform numbers, without a library's logarithm.
    float normal() {
        double sum = -6;
        for (int i = 0; i < 12; ++i) {
            sum += uniform();
        }
        return float(sum);
    }

    std::vector<float> normals(size_t n) {
        std::vector<float> values(n);
        for (float & value : values) {
            value = normal();
        }
        return values;
    }

  private:
    uint64_t state_;
};

inline void normalise(float * values, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) {
        sum += double(values[i]) * double(values[i]);
    }
    const float inverse = sum > 0 ? float(1 / std::sqrt(sum)) : 0;
    for (int i = 0; i < n; ++i) {
        values[i] *= inverse;
    }
}

// Rows that own their memory.
struct key_rows {
    std::vector<uint8_t> bytes;
    ann_idx::vector_rows     view;
};

inline void store_row(const ann_idx::vector_rows & rows, int32_t cell, const float * values) {
    uint8_t * row = const_cast<uint8_t *>(rows.row(cell));
    if (rows.type == ann_idx::vector_type::f32) {
        std::memcpy(row, values, size_t(rows.dim) * sizeof(float));
    } else if (rows.type == ann_idx::vector_type::f16) {
        for (int i = 0; i < rows.dim; ++i) {
            const uint16_t half = ann_idx::float_to_fp16(values[i]);
            std::memcpy(row + size_t(i) * 2, &half, 2);
        }
    } else {
        for (int b = 0; b < rows.dim / ann_idx::q8_block_size; ++b) {
            const float * src     = values + b * ann_idx::q8_block_size;
            float         largest = 0;
            for (int i = 0; i < ann_idx::q8_block_size; ++i) {
                largest = std::fmax(largest, std::fabs(src[i]));
            }
            ann_idx::q8_block block;
            block.scale         = ann_idx::float_to_fp16(largest / 127);
            const float inverse = largest > 0 ? 127 / largest : 0;
            for (int i = 0; i < ann_idx::q8_block_size; ++i) {
                block.values[i] = int8_t(std::round(src[i] * inverse));
            }
            std::memcpy(row + size_t(b) * sizeof(block), &block, sizeof(block));
        }
    }
}

inline key_rows make_rows(ann_idx::vector_type type, int dim, int32_t n_rows) {
    key_rows     res;
    const size_t stride = ann_idx::row_bytes(type, dim);
    res.bytes.resize(stride * size_t(n_rows));
    res.view = { res.bytes.data(), stride, type, dim, n_rows };
    return res;
}

inline key_rows store_rows(ann_idx::vector_type type, int dim, const std::vector<float> & values) {
    key_rows res = make_rows(type, dim, int32_t(values.size() / size_t(dim)));
    for (int32_t cell = 0; cell < res.view.n_rows; ++cell) {
        store_row(res.view, cell, values.data() + size_t(cell) * size_t(dim));
    }
    return res;
}

// A text's walk through topics and words, seen through a random projection.
//
// Set A: queries are drawn as keys are. Set B: queries pass through a projection that is only partly that of the keys,
// as those of separately learned matrices do.
class token_keys {
  public:
    token_keys(int dim, uint64_t seed) :
        random_(seed),
        dim_(dim),
        topics_(random_.normals(size_t(n_topics) * latent)),
        words_(random_.normals(size_t(n_words) * latent)),
        keys_projection_(random_.normals(size_t(dim) * latent)),
        other_projection_(random_.normals(size_t(dim) * latent)),
        drift_(latent) {}

    // n rows of dim floats each, normalised.
    std::vector<float> keys(int32_t n) { return draw(n, 0); }

    std::vector<float> queries_a(int32_t n) { return draw(n, 0); }

    std::vector<float> queries_b(int32_t n) { return draw(n, 1.0f); }

  private:
    static constexpr int latent   = 64;
    static constexpr int n_topics = 256;
    static constexpr int n_words  = 8192;

    std::vector<float> draw(int32_t n, float other_share) {
        std::vector<float> res(size_t(n) * size_t(dim_));
        for (int32_t i = 0; i < n; ++i) {
            float * row = res.data() + size_t(i) * size_t(dim_);
            project(next_state(), other_share, row);
            normalise(row, dim_);
        }
        return res;
    }

    std::vector<float> next_state() {
        if (random_.below(100) == 0) {
            topic_ = random_.below(n_topics);
        }
        // A word's rank follows Zipf's law: its logarithm is uniform.
        const int          rank = int(std::pow(double(n_words), random_.uniform()));
        const float *      word = words_.data() + size_t(rank % n_words) * latent;
        std::vector<float> state(latent);
        for (int i = 0; i < latent; ++i) {
            drift_[size_t(i)] = 0.95f * drift_[size_t(i)] + 0.31f * random_.normal();
            state[size_t(i)]  = topics_[size_t(topic_) * latent + size_t(i)] + word[i] + 0.7f * drift_[size_t(i)];
        }
        return state;
    }

    void project(const std::vector<float> & state, float other_share, float * row) {
        for (int i = 0; i < dim_; ++i) {
            float own = 0, other = 0;
            for (int j = 0; j < latent; ++j) {
                own += keys_projection_[size_t(i) * latent + size_t(j)] * state[size_t(j)];
                other += other_projection_[size_t(i) * latent + size_t(j)] * state[size_t(j)];
            }
            row[i] = own + other_share * other + noise * random_.normal();
        }
    }

    static constexpr float noise = 1.5f;

    random_source      random_;
    int                dim_;
    int                topic_ = 0;
    std::vector<float> topics_;
    std::vector<float> words_;
    std::vector<float> keys_projection_;
    std::vector<float> other_projection_;
    std::vector<float> drift_;
};

}  // namespace ann_test
