#include "vectors.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace ann_idx {

namespace {

void require(bool ok, const char * name, long long value, const std::string & range) {
    if (!ok) {
        throw std::invalid_argument("vector_rows." + std::string(name) + " is " + std::to_string(value) +
                                    ", it must be " + range);
    }
}

float float_from_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

uint32_t bits_of_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

}  // namespace

size_t row_bytes(vector_type type, int32_t dim) {
    switch (type) {
        case vector_type::f32:
            return size_t(dim) * sizeof(float);
        case vector_type::f16:
            return size_t(dim) * sizeof(uint16_t);
        case vector_type::q8_0:
            return size_t(dim) / q8_block_size * sizeof(q8_block);
        case vector_type::q4:
            return size_t(dim) / 2;
    }
    return 0;
}

void check_rows(const vector_rows & rows) {
    require(uint32_t(rows.type) <= uint32_t(vector_type::q8_0), "type", uint32_t(rows.type), "0 (f32), 1 (f16) or 2 (q8_0)");
    require(rows.dim >= 32 && rows.dim % 32 == 0 && rows.dim <= 65536, "dim", rows.dim, "a multiple of 32 in [32, 65536]");
    require(rows.n_rows >= 0 && rows.n_rows <= max_cells, "n_rows", rows.n_rows, "in [0, " + std::to_string(max_cells) + "]");
    const size_t least = row_bytes(rows.type, rows.dim);
    require(rows.stride_bytes >= least, "stride_bytes", (long long) rows.stride_bytes, "at least " + std::to_string(least));
    require(rows.base != nullptr || rows.n_rows == 0, "base", 0, "set when there are rows");
}

int32_t stripe_size(int32_t n, int32_t first, int32_t step) {
    return n > first ? (n - first - 1) / step + 1 : 0;
}

vector_rows vector_rows::stripe(int32_t first, int32_t step) const {
    vector_rows res  = *this;
    res.n_rows       = stripe_size(n_rows, first, step);
    res.base         = res.n_rows > 0 ? row(first) : base;
    res.stride_bytes = stride_bytes * size_t(step);
    return res;
}

float fp16_to_float(uint16_t bits) {
    const uint32_t sign     = uint32_t(bits & 0x8000) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1f;
    const uint32_t fraction = bits & 0x3ff;
    if (exponent == 0x1f) {
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    }
    if (exponent == 0) {
        const float magnitude = float(fraction) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t float_to_fp16(float value) {
    const uint32_t bits      = bits_of_float(value);
    const uint16_t sign      = uint16_t(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return sign | 0x7e00;  // NaN
    }
    if (magnitude >= 0x47800000) {
        return sign | 0x7c00;  // 65536 and more: infinity; 65520..65535 reaches it by rounding below
    }
    if (magnitude < 0x38800000) {
        // A subnormal is a multiple of 2^-24: adding 0.5 puts its lowest bit at the end of a float's fraction.
        const float shifted = float_from_bits(magnitude) + 0.5f;
        return uint16_t(sign | (bits_of_float(shifted) - bits_of_float(0.5f)));
    }
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return uint16_t(sign | ((rounded >> 13) - (112 << 10)));
}

}  // namespace ann_idx
