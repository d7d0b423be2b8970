#include "row-codes.h"

#include "dot.h"

#include <algorithm>
#include <cmath>

namespace ann_idx {

namespace {

constexpr size_t short_row_bytes = 192;  // three cache lines

// The nearest of 0 .. 15 to place - 0.5; 0 for what is no number. Comparisons in this form need no branch.
int nearest(float place) {
    place = place > 0 ? place : 0;
    return int(place < 15 ? place : 15);
}

}  // namespace

void encode_row(const float * values, int32_t dim, uint8_t * code) {
    float largest = 0;
    for (int32_t i = 0; i < dim; ++i) {
        largest = std::max(largest, std::fabs(values[i]));
    }
    // The least scale with 7.5 * scale >= largest: the upper 12 bits of an f32, rounded up.
    const float least = largest / 7.5f;
    uint32_t    bits;
    std::memcpy(&bits, &least, sizeof(bits));
    const uint32_t place = std::max((bits + 0xfffff) >> 20, code_scale_base) - code_scale_base;
    const uint32_t eight = std::min(place, 255u);
    for (int j = 0; j < 8; ++j) {
        code[j] = uint8_t(eight >> j & 1);
    }
    const float   inverse = 1 / code_scale(code);
    const int32_t half    = dim / 2;
    uint8_t       lows[8];
    std::memcpy(lows, code, sizeof(lows));
    for (int32_t j = 0; j < half; ++j) {
        code[j] = uint8_t(nearest(values[j] * inverse + 8) | nearest(values[half + j] * inverse + 8) << 4);
    }
    for (int j = 0; j < 8; ++j) {  // of 0, 2, .. or of 1, 3, ..
        const int n = 2 * std::min(nearest((values[j] * inverse + 7.5f - float(lows[j])) / 2 + 0.5f), 7) + lows[j];
        code[j]     = uint8_t((code[j] & 0xf0) | n);
    }
}

size_t row_codes::bytes_of_row(vector_type type, int32_t dim) {
    return row_bytes(type, dim) > short_row_bytes ? row_bytes(vector_type::q4, dim) : 0;
}

row_codes::row_codes(const vector_rows & rows) : view_(rows) {
    if (const size_t n_bytes = bytes_of_row(rows.type, rows.dim); n_bytes > 0) {
        view_.type         = vector_type::q4;
        view_.stride_bytes = n_bytes;
        codes_             = zeroed_array<uint8_t>(size_t(rows.n_rows) * view_.stride_bytes);
        view_.base         = codes_.data();
    }
}

void row_codes::encode(const vector_rows & rows, int32_t cell, std::vector<float> & values) {
    if (are_used()) {
        values.resize(size_t(rows.dim));
        row_to_f32(rows, cell, values.data());
        encode_row(values.data(), rows.dim, codes_.data() + size_t(cell) * view_.stride_bytes);
    }
}

void row_codes::copy_from(const row_codes & other, int32_t n) {
    if (are_used()) {
        std::memcpy(codes_.data(), other.codes_.data(), size_t(n) * view_.stride_bytes);
    }
}

}  // namespace ann_idx
