#include "matrix-kernels.h"

namespace ann {

namespace {

const matrix_kernels & kernels() {
    static const matrix_kernels * chosen = []() -> const matrix_kernels * {
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
            return &kernels_avx512;
        }
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            return &kernels_avx2;
        }
#endif
        return &kernels_base;
    }();
    return *chosen;
}

} // namespace

void   multiply(const product & p)                                    { kernels().multiply(p); }
double exponentials(float * x, size_t n, float scale, float shift)    { return kernels().exponentials(x, n, scale, shift); }
float  largest(const float * x, size_t n)                             { return kernels().largest(x, n); }
void   update(const adamw_update & u)                                 { kernels().update(u); }

void pack_columns(const float * from, size_t n, size_t n_k, size_t row_from, float * to) {
    constexpr size_t PANEL = 16;
    for (size_t j0 = 0; j0 < n; j0 += PANEL, to += PANEL*n_k) {
        for (size_t l = 0; l < PANEL; ++l) {
            for (size_t k = 0; k < n_k; ++k) {
                to[k*PANEL + l] = j0 + l < n ? from[(j0 + l)*row_from + k] : 0.0f;
            }
        }
    }
}

} // namespace ann
