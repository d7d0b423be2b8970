// Every kernel of this machine against sums in double.
#include "dot.h"

#include "check.h"
#include "row-codes.h"
#include "synthetic-keys.h"

#include <cmath>
#include <limits>

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

std::vector<double> values_of_code(const uint8_t * code, int dim) {
    std::vector<double> res(static_cast<size_t>(dim));
    for (int j = 0; j < dim / 2; ++j) {
        res[size_t(j)]           = ((code[j] & 15) - 7.5) * double(code_scale(code));
        res[size_t(dim / 2 + j)] = ((code[j] >> 4) - 7.5) * double(code_scale(code));
    }
    return res;
}

// Rows of half their stride are their codes.
key_rows store_codes(int dim, const std::vector<float> & values) {
    key_rows rows      = make_rows(vector_type::f16, dim, int32_t(values.size() / size_t(dim)));
    rows.view.type     = vector_type::q4;
    for (int32_t cell = 0; cell < rows.view.n_rows; ++cell) {
        encode_row(values.data() + size_t(cell) * size_t(dim), dim, const_cast<uint8_t *>(rows.view.row(cell)));
    }
    return rows;
}

void codes_are_near_their_rows(int dim) {
    random_source random{ uint64_t(dim) };
    double        squares = 0;
    for (int i = 0; i < 200; ++i) {
        std::vector<float> values = random.normals(size_t(dim));
        normalise(values.data(), dim);
        const float        length = std::pow(10.0f, float(random.below(7) - 3));
        std::vector<uint8_t> code(size_t(dim) / 2);
        for (float & value : values) {
            value *= length;
        }
        encode_row(values.data(), dim, code.data());
        const std::vector<double> decoded = values_of_code(code.data(), dim);
        const double              scale   = double(code_scale(code.data()));
        float                     largest = 0;
        for (size_t j = 0; j < values.size(); ++j) {
            const double steps = j < 8 ? 1.0 : 0.5;  // the first eight have a bit less
            CHECK(std::fabs(decoded[j] - double(values[j])) <= steps * scale * 1.0001);
            squares += std::pow((decoded[j] - double(values[j])) / double(length), 2);
            largest = std::max(largest, std::fabs(values[j]));
        }
        CHECK(7.5 * scale >= double(largest) && 7.5 * scale <= double(largest) * 1.126);
    }
    // Of a row's length 1 this much is lost; times a query's share of it, 1 / sqrt(dim), it is the error of a score.
    CHECK(std::sqrt(squares / 200) < (dim >= 128 ? 0.13 : 0.15));
}

void check_codes(const dot_kernels & kernels, int dim) {
    const int32_t            n = 37;
    random_source            random(uint64_t(dim) * 5);
    const std::vector<float> values = random.normals(size_t(n) * size_t(dim));
    const std::vector<float> query  = random.normals(size_t(dim));
    const key_rows           rows   = store_codes(dim, values);
    std::vector<int32_t>     cells;
    for (int32_t cell = 0; cell < n; ++cell) {
        cells.push_back(n - 1 - cell);
    }
    dot_query          prepared, of_row;
    std::vector<float> together(static_cast<size_t>(n)), alone(1), portable(1);
    prepared.assign(rows.view, query.data());
    const auto score = kernels.scores[int(vector_type::q4)];
    score(prepared, rows.view, cells.data(), n, together.data());
    for (int32_t i = 0; i < n; ++i) {
        score(prepared, rows.view, &cells[size_t(i)], 1, alone.data());
        dot_kernel_sets().front().scores[int(vector_type::q4)](prepared, rows.view, &cells[size_t(i)], 1, portable.data());
        const std::vector<double> decoded = values_of_code(rows.view.row(cells[size_t(i)]), dim);
        const double              exact   = product(query, decoded, size_t(dim));
        const double              length  = std::sqrt(product(decoded, decoded, size_t(dim)));
        CHECK(std::fabs(double(together[size_t(i)]) - exact) < 0.05 * length);  // the query is rounded
        CHECK(together[size_t(i)] == alone[0] && alone[0] == portable[0]);
        of_row.assign_row(rows.view, cells[size_t(i)]);
        for (int32_t j = 0; j < n; ++j) {  // codes among themselves: no rounding at all but of the result
            float score_of_row = 0;
            score(of_row, rows.view, &cells[size_t(j)], 1, &score_of_row);
            const std::vector<double> other = values_of_code(rows.view.row(cells[size_t(j)]), dim);
            const double              both  = product(decoded, other, size_t(dim));
            CHECK(std::fabs(double(score_of_row) - both) <= 1e-6 * (std::fabs(both) + length));
        }
    }
}

void any_row_has_a_code() {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    for (const float extreme : { 0.0f, 1e-30f, -1e-30f, 65504.0f, -3e38f, infinity, -infinity, nan }) {
        std::vector<float>   values(64, 0.5f);
        std::vector<uint8_t> code(32);
        values[3] = values[40] = extreme;
        encode_row(values.data(), 64, code.data());
        CHECK(code_scale(code.data()) >= 0x1p-16f && code_scale(code.data()) < 0x1p16f);
        CHECK(std::fabs(values_of_code(code.data(), 64)[7] - 0.5) <= double(code_scale(code.data())));
    }
    std::vector<float>   zeroes(32, 0.0f);
    std::vector<uint8_t> code(16);
    encode_row(zeroes.data(), 32, code.data());
    for (const double value : values_of_code(code.data(), 32)) {
        CHECK(std::fabs(value) <= 0x1p-16);
    }
}

// All numbers of a code and all values of a query at their ends.
void extreme_codes_do_not_overflow() {
    for (const int dim : { 32, 64, 96, 128, 256 }) {
        std::vector<float> values(size_t(dim), 1.0f);
        const key_rows     rows = store_codes(dim, values);
        for (const dot_kernels & kernels : dot_kernel_sets()) {
            for (const float sign : { 1.0f, -1.0f }) {
                const std::vector<float> query(size_t(dim), sign);
                dot_query                prepared;
                const int32_t            cell = 0;
                float                    score;
                prepared.assign(rows.view, query.data());
                kernels.scores[int(vector_type::q4)](prepared, rows.view, &cell, 1, &score);
                const double exact = product(query, values_of_code(rows.view.row(0), dim), size_t(dim));
                CHECK(std::fabs(double(score) - exact) < 1e-4 * dim);
            }
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
        for (const int dim : { 32, 64, 96, 128, 256 }) {
            check_codes(kernels, dim);
        }
        check_conversion(kernels);
    }
    extreme_bytes_do_not_overflow();
    extreme_codes_do_not_overflow();
    for (const int dim : { 64, 128, 256 }) {
        codes_are_near_their_rows(dim);
    }
    any_row_has_a_code();
    return result();
}
