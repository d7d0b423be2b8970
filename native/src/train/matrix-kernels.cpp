#include "matrix-kernels.h"

#include <cmath>
#include <cstring>

#ifndef ANN_KERNELS
#    define ANN_KERNELS kernels_base
#endif

namespace ann {

namespace {

#if defined(__AVX512F__)
constexpr size_t WIDTH = 16; // floats of a register
#elif defined(__AVX2__)
constexpr size_t WIDTH = 8;
#else
constexpr size_t WIDTH = 4;
#endif
constexpr size_t PANEL = 16;          // columns of a tile
constexpr size_t NV    = PANEL/WIDTH; // registers of them
constexpr size_t TILE  = 6;           // rows of a tile

typedef float   floats __attribute__((vector_size(WIDTH*4), aligned(4), may_alias));
typedef int32_t ints   __attribute__((vector_size(WIDTH*4), aligned(4), may_alias));

// R rows of c, 16 columns, kept in registers over all of k
template <size_t R> void tile(const product & p, size_t i, size_t j) {
    floats acc[R][NV];
    for (size_t r = 0; r < R; ++r) {
        for (size_t v = 0; v < NV; ++v) {
            acc[r][v] = p.add ? *(const floats *) (p.c + (i + r)*p.row_c + j + v*WIDTH) : floats {};
        }
    }
    const float * a = p.a + i*p.row_a;
    const float * b = p.b + j/PANEL*p.panel_b;
    for (size_t k = 0; k < p.n_k; ++k, a += p.col_a, b += p.row_b) {
        floats x[NV];
        for (size_t v = 0; v < NV; ++v) {
            x[v] = *(const floats *) (b + v*WIDTH);
        }
        for (size_t r = 0; r < R; ++r) {
            for (size_t v = 0; v < NV; ++v) {
                acc[r][v] += a[r*p.row_a]*x[v];
            }
        }
    }
    for (size_t r = 0; r < R; ++r) {
        for (size_t v = 0; v < NV; ++v) {
            *(floats *) (p.c + (i + r)*p.row_c + j + v*WIDTH) = acc[r][v];
        }
    }
}

// the last columns, fewer than 16
void rest(const product & p, size_t j0) {
    for (size_t i = 0; i < p.n_i; ++i) {
        for (size_t j = j0; j < p.n_j; ++j) {
            float sum = p.add ? p.c[i*p.row_c + j] : 0.0f;
            for (size_t k = 0; k < p.n_k; ++k) {
                sum += p.a[i*p.row_a + k*p.col_a]*p.b[k*p.row_b + j/PANEL*p.panel_b + j % PANEL];
            }
            p.c[i*p.row_c + j] = sum;
        }
    }
}

void multiply_impl(const product & p) {
    const size_t n_wide = p.n_j - p.n_j % PANEL;
    for (size_t i = 0; i < p.n_i; i += TILE) {
        const size_t n_rows = p.n_i - i < TILE ? p.n_i - i : TILE;
        for (size_t j = 0; j < n_wide; j += PANEL) {
            switch (n_rows) {
                case 1:  tile<1>(p, i, j); break;
                case 2:  tile<2>(p, i, j); break;
                case 3:  tile<3>(p, i, j); break;
                case 4:  tile<4>(p, i, j); break;
                case 5:  tile<5>(p, i, j); break;
                default: tile<6>(p, i, j); break;
            }
        }
    }
    if (n_wide < p.n_j) {
        rest(p, n_wide);
    }
}

// e^x as 2^n times a polynomial of the rest
inline floats exp_of(floats x) {
    const floats low = floats {} - 87.0f;
    const ints   dead = x < low;
    x = dead ? low : x;
    const floats magic = floats {} + 12582912.0f; // 1.5*2^23: adding it rounds to an integer
    const floats n = (x*1.44269504f + magic) - magic;
    const floats f = (x - n*0.693359375f) + n*2.12194440e-4f;
    floats y = f*1.9875691500e-4f + 1.3981999507e-3f;
    y = y*f + 8.3334519073e-3f;
    y = y*f + 4.1665795894e-2f;
    y = y*f + 1.6666665459e-1f;
    y = y*f + 5.0000001201e-1f;
    y = y*f*f + f + 1.0f;
    const ints bits = (__builtin_convertvector(n, ints) + 127) << 23;
    floats two;
    std::memcpy(&two, &bits, sizeof(two));
    return dead ? floats {} : y*two;
}

double exponentials_impl(float * x, size_t n, float scale, float shift) {
    const size_t n_wide = n - n % WIDTH;
    constexpr size_t BLOCK = 1024; // lanes are added up in f64 now and then
    double sum = 0.0;
    for (size_t j0 = 0; j0 < n_wide; j0 += BLOCK) {
        floats lanes = {};
        for (size_t j = j0; j < n_wide && j < j0 + BLOCK; j += WIDTH) {
            floats * v = (floats *) (x + j);
            *v = exp_of(*v*scale - shift);
            lanes += *v;
        }
        for (size_t l = 0; l < WIDTH; ++l) {
            sum += lanes[l];
        }
    }
    for (size_t j = n_wide; j < n; ++j) {
        sum += x[j] = std::exp(x[j]*scale - shift);
    }
    return sum;
}

float largest_impl(const float * x, size_t n) {
    float res = -INFINITY;
    size_t j = 0;
    if (n >= WIDTH) {
        floats top = *(const floats *) x;
        for (j = WIDTH; j + WIDTH <= n; j += WIDTH) {
            const floats v = *(const floats *) (x + j);
            top = v > top ? v : top;
        }
        for (size_t l = 0; l < WIDTH; ++l) {
            res = top[l] > res ? top[l] : res;
        }
    }
    for (; j < n; ++j) {
        res = x[j] > res ? x[j] : res;
    }
    return res;
}

void update_impl(const adamw_update & u) {
    float * __restrict w = u.w, * __restrict m = u.m, * __restrict v = u.v;
    const float * __restrict gradient = u.gradient;
    const float scale = u.scale, beta_1 = u.beta_1, beta_2 = u.beta_2, keep = u.keep, rate = u.rate, unbias = u.unbias;
    for (size_t i = 0; i < u.n; ++i) {
        const float g = gradient[i]*scale;
        m[i] = beta_1*m[i] + (1.0f - beta_1)*g;
        v[i] = beta_2*v[i] + (1.0f - beta_2)*g*g;
        w[i] = w[i]*keep - rate*m[i]/(std::sqrt(v[i]*unbias) + 1e-8f);
    }
}

} // namespace

extern const matrix_kernels ANN_KERNELS = { multiply_impl, exponentials_impl, largest_impl, update_impl };

} // namespace ann
