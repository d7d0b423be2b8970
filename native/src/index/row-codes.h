// Four bits a value of every indexed row: what walks score, so that a visit costs one cache line instead of several.
#pragma once

#include "vectors.h"
#include "zeroed-array.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace ann_idx {

// A code, u8[dim / 2]: value i is (n - 7.5) * scale, n in [0, 15]. Byte j holds n of value j in its low half and n of value
// dim / 2 + j in its high half. The row's largest magnitude is at most 7.5 * scale.
//
// The scale has no bytes of its own, they would cost a second cache line. Its eight bits (five of exponent, three of mantissa:
// 2^-16 to 1.9 * 2^15) are the lowest ones of the first eight bytes; of those eight values n has three bits that are free.
//
// Unit vectors of 128 values: a code's score differs from its row's by .011 (standard deviation).
void encode_row(const float * values, int32_t dim, uint8_t * code);

constexpr uint32_t code_scale_base = (127 - 16) * 8;  // 2^-16 as an f32, without its lowest 20 bits: scale 0

inline float code_scale(const uint8_t * code) {
    uint64_t first;
    std::memcpy(&first, code, sizeof(first));
    const uint64_t eight = (first & 0x0101010101010101) * 0x0102040810204080 >> 56;  // the lowest bit of each byte
    const uint32_t bits  = (uint32_t(eight) + code_scale_base) << 20;
    float          value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

// The codes of an index's rows. Where a row is short (up to three cache lines: measured, a walk over
// codes is not faster then) there are none, and view() is the rows themselves.
class row_codes {
  public:
    explicit row_codes(const vector_rows & rows);

    // 0 where there are no codes.
    static size_t bytes_of_row(vector_type type, int32_t dim);

    bool are_used() const { return codes_.size() > 0; }

    // What a walk compares: the rows' codes, or the rows.
    const vector_rows & view() const { return view_; }

    // Takes over the row as it is now. values: memory for one row.
    void encode(const vector_rows & rows, int32_t cell, std::vector<float> & values);

    // The codes of the first n cells of rows of the same shape.
    void copy_from(const row_codes & other, int32_t n);

    size_t memory_bytes() const { return codes_.size(); }

  private:
    zeroed_array<uint8_t> codes_;
    vector_rows           view_;
};

}  // namespace ann_idx
