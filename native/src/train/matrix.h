// Products of small f32 matrices, the exponential and the optimiser's step: rows lie together, no allocation, no threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ann {

// c[i, j] (+)= sum over k of a[i, k]*b[k, j]
//
// a: element (i, k) at a[i*row_a + k*col_a], so that a may be read transposed
// b: element (k, j) at b[k*row_b + j/16*panel_b + j % 16]; panel_b 16: plain rows. What is read across many rows is
//    packed (pack_columns), or its rows fall onto the same cache lines
// c: [n_i][n_j], rows row_c apart
struct product {
    size_t n_i, n_j, n_k;
    const float * a;
    size_t row_a, col_a;
    const float * b;
    size_t row_b, panel_b;
    float * c;
    size_t row_c;
    bool   add; // false: c is overwritten
};
void multiply(const product & p);

// x[j] = exp(x[j]*scale - shift), returns the sum; relative error under 3e-7, arguments below -87 give 0
double exponentials(float * x, size_t n, float scale, float shift);

float largest(const float * x, size_t n); // -INFINITY for n = 0

// One step of AdamW, elementwise, with g = gradient*scale: m and v move towards g and g*g, then
// w = w*keep - rate*m/(sqrt(v*unbias) + 1e-8)
struct adamw_update {
    float * w, * m, * v;
    const float * gradient;
    size_t n;
    float  scale, beta_1, beta_2, keep, rate, unbias;
};
void update(const adamw_update & u);

// from: [n][n_k], rows row_from apart -> the operand b of a product with n columns: row_b 16, panel_b 16*n_k
// to: 16*n_k*ceil(n/16) floats, zero beyond n
void pack_columns(const float * from, size_t n, size_t n_k, size_t row_from, float * to);

} // namespace ann
