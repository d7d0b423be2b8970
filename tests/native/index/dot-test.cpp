// Every kernel of this machine against sums in double.
#include "dot.h"

#include "check.h"
#include "synthetic-keys.h"

#include <cmath>

using namespace ann_idx;
using namespace ann_test;

namespace {

std::vector<double> values_of(const vector_rows & rows, int32_t cell) {
    std::vector<double> res(size_t(rows.dim));
    const uint8_t *     row = rows.row(cell);
    for (size_t i = 0; i < res.size(); ++i) {
        if (rows.type == vector_type::f32) {
            float value;
            std::memcpy(&value, row + i * sizeof(value), sizeof(value));
            res[i] = double(value);
        } else if (rows.type == vector_type::f16) {
            uint16_t half;
            std::memcpy(&half, row + i * sizeof(half), sizeof(half));
            res[i] = double(fp16_to_float(half));
        } else {
            q8_block block;
            std::memcpy(&block, row + i / 32 * sizeof(block), sizeof(block));
            res[i] = double(fp16_to_float(block.scale)) * block.values[i % 32];
        }
    }
    return res;
}

template <class A, class B> double product(const A & a, const B & b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        sum += double(a[i]) * double(b[i]);
    }
    return sum;
}

void check_kernels(const dot_kernels & kernels, vector_type type, int dim) {
    const int32_t            n = 37;
    random_source            random(uint64_t(dim) * 3 + uint64_t(type));
    std::vector<float>       values = random.normals(size_t(n) * size_t(dim));
    const std::vector<float> query  = random.normals(size_t(dim));
    for (int32_t cell = 0; cell < n; ++cell) {
        normalise(values.data() + cell * dim, dim);
    }
    std::vector<float> unit = query;
    normalise(unit.data(), dim);
    const key_rows     rows = store_rows(type, dim, values);
    const auto         score = kernels.scores[int(type)];
    dot_query          prepared, of_row;
    std::vector<float> together(static_cast<size_t>(n)), alone(static_cast<size_t>(n)), of_rows(static_cast<size_t>(n));
    std::vector<int32_t> cells;
    for (int32_t cell = 0; cell < n; ++cell) {
        cells.push_back(cell);
    }
    prepared.assign(rows.view, unit.data());
    score(prepared, rows.view, cells.data(), n, together.data());
    for (int32_t cell = 0; cell < n; ++cell) {
        score(prepared, rows.view, &cell, 1, &alone[size_t(cell)]);
        const double exact = product(unit, values_of(rows.view, cell), size_t(dim));
        const double error = type == vector_type::q8_0 ? 0.02 : 1e-5;  // a q8_0 query is rounded
        CHECK(std::fabs(double(together[size_t(cell)]) - exact) < error);
        CHECK(together[size_t(cell)] == alone[size_t(cell)]);
    }
    for (int32_t a = 0; a < n; ++a) {  // rows among themselves: no rounding but of sums, and symmetric
        of_row.assign_row(rows.view, a);
        score(of_row, rows.view, cells.data(), n, of_rows.data());
        for (int32_t b = 0; b < n; ++b) {
            const double exact = product(values_of(rows.view, a), values_of(rows.view, b), size_t(dim));
            float        back  = 0;
            CHECK(std::fabs(double(of_rows[size_t(b)]) - exact) < 1e-5);
            of_row.assign_row(rows.view, b);
            score(of_row, rows.view, &a, 1, &back);
            CHECK(back == of_rows[size_t(b)]);
        }
    }
}

void check_conversion(const dot_kernels & kernels) {
    std::vector<uint16_t> halves;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        if ((bits & 0x7c00) != 0x7c00) {
            halves.push_back(uint16_t(bits));
        }
    }
    std::vector<float> values(halves.size());
    kernels.f16_to_f32(halves.data(), int(halves.size()), values.data());
    bool ok = true;
    for (size_t i = 0; i < halves.size(); ++i) {
        ok = ok && values[i] == fp16_to_float(halves[i]);
    }
    CHECK(ok);
}

void extreme_bytes_do_not_overflow() {
    std::vector<float> values(32 * 4);
    for (size_t i = 0; i < values.size(); ++i) {
        values[i] = (i / 32) % 2 == 0 ? 127.0f : -127.0f;
    }
    const key_rows rows = store_rows(vector_type::q8_0, 32, values);
    for (const dot_kernels & kernels : dot_kernel_sets()) {
        for (const float sign : { 1.0f, -1.0f }) {
            const std::vector<float> query(32, 127.0f * sign);
            dot_query                prepared;
            prepared.assign(rows.view, query.data());
            const int32_t cells[2] = { 0, 1 };
            float         scores[2];
            kernels.scores[2](prepared, rows.view, cells, 2, scores);
            CHECK(scores[0] == sign * 127 * 127 * 32);
            CHECK(scores[1] == -sign * 127 * 127 * 32);
        }
    }
}

}  // namespace

int main() {
    for (const dot_kernels & kernels : dot_kernel_sets()) {
        std::printf("kernels %s\n", kernels.name);
        for (const vector_type type : { vector_type::f32, vector_type::f16, vector_type::q8_0 }) {
            for (const int dim : { 32, 64, 96, 128, 256 }) {
                check_kernels(kernels, type, dim);
            }
        }
        check_conversion(kernels);
    }
    extreme_bytes_do_not_overflow();
    return result();
}
