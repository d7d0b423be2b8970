#include "vectors.h"

#include "check.h"

#include <cmath>
#include <limits>
#include <stdexcept>

using namespace ann_idx;

namespace {

void every_half_survives_the_round_trip() {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float value = fp16_to_float(uint16_t(bits));
        if (std::isnan(value)) {
            CHECK((float_to_fp16(value) & 0x7fff) > 0x7c00);
        } else if (float_to_fp16(value) != bits) {
            CHECK(float_to_fp16(value) == bits);
        }
    }
}

void halves_are_the_nearest() {
    CHECK(fp16_to_float(0x3c00) == 1.0f);
    CHECK(fp16_to_float(0xc000) == -2.0f);
    CHECK(fp16_to_float(0x0001) == 0x1p-24f);
    CHECK(float_to_fp16(1.0f + 0x1p-11f) == 0x3c00);           // half way: to even
    CHECK(float_to_fp16(1.0f + 0x3p-11f) == 0x3c02);           // half way: to even
    CHECK(float_to_fp16(1.0f + 0x1p-11f + 0x1p-20f) == 0x3c01);
    CHECK(float_to_fp16(65519.0f) == 0x7bff);
    CHECK(float_to_fp16(65520.0f) == 0x7c00);
    CHECK(float_to_fp16(1e30f) == 0x7c00);
    CHECK(float_to_fp16(-std::numeric_limits<float>::infinity()) == 0xfc00);
    CHECK(float_to_fp16(0x1p-25f) == 0x0000);
    CHECK(float_to_fp16(0x1.8p-25f) == 0x0001);
}

void bad_rows_are_refused() {
    static const uint8_t bytes[1024] = {};
    const vector_rows    good        = { bytes, 128, vector_type::f32, 32, 8 };
    check_rows(good);
    vector_rows rows = good;
    rows.dim         = 48;
    CHECK_THROWS(check_rows(rows), std::invalid_argument);
    rows              = good;
    rows.stride_bytes = 127;
    CHECK_THROWS(check_rows(rows), std::invalid_argument);
    rows        = good;
    rows.n_rows = -1;
    CHECK_THROWS(check_rows(rows), std::invalid_argument);
    rows      = good;
    rows.base = nullptr;
    CHECK_THROWS(check_rows(rows), std::invalid_argument);
    rows      = good;
    rows.type = vector_type(7);
    CHECK_THROWS(check_rows(rows), std::invalid_argument);
}

void stripes_cover_all_rows_once() {
    static const uint8_t bytes[10 * 128] = {};
    const vector_rows    rows            = { bytes, 128, vector_type::f32, 32, 10 };
    for (int step = 1; step <= 12; ++step) {
        int32_t n = 0;
        for (int first = 0; first < step; ++first) {
            const vector_rows stripe = rows.stripe(first, step);
            for (int32_t i = 0; i < stripe.n_rows; ++i) {
                CHECK(stripe.row(i) == rows.row(first + i * step));
            }
            n += stripe.n_rows;
        }
        CHECK(n == rows.n_rows);
    }
}

}  // namespace

int main() {
    every_half_survives_the_round_trip();
    halves_are_the_nearest();
    bad_rows_are_refused();
    stripes_cover_all_rows_once();
    return ann_test::result();
}
