#include "dot.h"

#include "dot-group.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ann_idx {

namespace {

float f32_value(const uint8_t * row, int i) {
    float value;
    std::memcpy(&value, row + size_t(i) * sizeof(value), sizeof(value));
    return value;
}

float f16_value(const uint8_t * row, int i) {
    uint16_t bits;
    std::memcpy(&bits, row + size_t(i) * sizeof(bits), sizeof(bits));
    return fp16_to_float(bits);
}

template <float (*value)(const uint8_t *, int)>
void score4_float(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    for (int r = 0; r < 4; ++r) {
        float sum = 0;
        for (int i = 0; i < dim; ++i) {
            sum += query.f32[size_t(i)] * value(row[r], i);
        }
        out[r] = sum;
    }
}

void score4_q8(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    for (int r = 0; r < 4; ++r) {
        float sum = 0;
        for (int b = 0; b < dim / q8_block_size; ++b) {
            const uint8_t * block = row[r] + size_t(b) * sizeof(q8_block);
            const int8_t *  x     = reinterpret_cast<const int8_t *>(block + offsetof(q8_block, values));
            const int8_t *  q     = query.q8.data() + b * q8_block_size;
            int32_t         dot   = 0;
            for (int i = 0; i < q8_block_size; ++i) {
                dot += x[i] * q[i];
            }
            sum += query.scale[size_t(b)] * fp16_to_float(q8_scale_bits(block)) * float(dot);
        }
        out[r] = sum;
    }
}

void score4_q4(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    for (int r = 0; r < 4; ++r) {
        int32_t sum = 0;
        for (int j = 0; j < dim / 2; ++j) {
            sum += query.q8[size_t(j)] * (row[r][j] & 15) + query.q8[size_t(dim / 2 + j)] * (row[r][j] >> 4);
        }
        out[r] = code_score(query, row[r], sum);
    }
}

void f16_to_f32_portable(const uint16_t * src, int n, float * dst) {
    for (int i = 0; i < n; ++i) {
        dst[i] = fp16_to_float(src[i]);
    }
}

// Nearest multiples of max|q| / 127.
void quantise(const float * src, size_t n, int8_t * values, float & scale) {
    constexpr float whole   = 0x1.8p23f;  // added to a small number and taken away it rounds, to nearest even
    float           largest = 0;
    for (size_t i = 0; i < n; ++i) {
        largest = std::max(largest, std::fabs(src[i]));
    }
    scale               = largest / 127;
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (size_t i = 0; i < n; ++i) {
        const float value = src[i] * inverse + whole - whole;
        values[i]         = int8_t(value >= -127 && value <= 127 ? value : 0);  // 0 also when the query is not finite
    }
}

std::vector<dot_kernels> find_kernel_sets() {
    std::vector<dot_kernels> sets = {
        { "portable",
         { score_in_fours<score4_float<f32_value>>, score_in_fours<score4_float<f16_value>>, score_in_fours<score4_q8>,
           score_in_fours<score4_q4> },
         f16_to_f32_portable },
    };
    for (const dot_kernels * set : { dot_kernels_neon(), dot_kernels_avx2(), dot_kernels_avx512() }) {
        if (set != nullptr) {
            sets.push_back(*set);
        }
    }
    return sets;
}

}  // namespace

const std::vector<dot_kernels> & dot_kernel_sets() {
    static const std::vector<dot_kernels> sets = find_kernel_sets();
    return sets;
}

const dot_kernels & best_dot_kernels() {
    return dot_kernel_sets().back();
}

void dot_query::assign(const vector_rows & rows, const float * query) {
    const size_t n = size_t(rows.dim);
    if (rows.type == vector_type::f32 || rows.type == vector_type::f16) {
        f32.assign(query, query + n);
        return;
    }
    q8.resize(n);
    if (rows.type == vector_type::q4) {
        scale.resize(1);
        quantise(query, n, q8.data(), scale[0]);
        set_offset();
        return;
    }
    scale.resize(n / q8_block_size);
    for (size_t b = 0; b < scale.size(); ++b) {
        quantise(query + b * q8_block_size, q8_block_size, q8.data() + b * q8_block_size, scale[b]);
    }
}

void dot_query::set_offset() {
    offset = -7.5f * float(std::accumulate(q8.begin(), q8.end(), 0));
}

void row_to_f32(const vector_rows & rows, int32_t cell, float * dst) {
    const uint8_t * row = rows.row(cell);
    if (rows.type == vector_type::f32) {
        std::memcpy(dst, row, size_t(rows.dim) * sizeof(float));
    } else if (rows.type == vector_type::f16) {
        best_dot_kernels().f16_to_f32(reinterpret_cast<const uint16_t *>(row), rows.dim, dst);
    } else {
        for (int i = 0; i < rows.dim; ++i) {
            const uint8_t * block = row + size_t(i / q8_block_size) * sizeof(q8_block);
            const int8_t *  x     = reinterpret_cast<const int8_t *>(block + offsetof(q8_block, values));
            dst[i]                = fp16_to_float(q8_scale_bits(block)) * float(x[i % q8_block_size]);
        }
    }
}

void dot_query::assign_row(const vector_rows & rows, int32_t cell) {
    const uint8_t * row = rows.row(cell);
    const size_t    n   = size_t(rows.dim);
    if (rows.type == vector_type::f32 || rows.type == vector_type::f16) {
        f32.resize(n);
        row_to_f32(rows, cell, f32.data());
        return;
    }
    q8.resize(n);
    if (rows.type == vector_type::q4) {
        scale.assign(1, code_scale(row) / 2);
        for (size_t j = 0; j < n / 2; ++j) {
            q8[j]         = int8_t(2 * (row[j] & 15) - 15);
            q8[n / 2 + j] = int8_t(2 * (row[j] >> 4) - 15);
        }
        set_offset();
        return;
    }
    scale.resize(n / q8_block_size);
    for (size_t b = 0; b < scale.size(); ++b) {
        const uint8_t * block = row + b * sizeof(q8_block);
        scale[b]              = fp16_to_float(q8_scale_bits(block));
        std::memcpy(q8.data() + b * q8_block_size, block + offsetof(q8_block, values), q8_block_size);
    }
}

}  // namespace ann_idx
