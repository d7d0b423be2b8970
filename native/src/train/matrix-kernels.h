// One source of kernels, compiled once per x86 level (native/CMakeLists.txt); matrix.cpp chooses when it is first used.
#pragma once

#include "matrix.h"

namespace ann {

struct matrix_kernels {
    void   (* multiply)(const product & p);
    double (* exponentials)(float * x, size_t n, float scale, float shift);
    float  (* largest)(const float * x, size_t n);
    void   (* update)(const adamw_update & u);
};

extern const matrix_kernels kernels_base;
#if defined(__x86_64__)
extern const matrix_kernels kernels_avx2;
extern const matrix_kernels kernels_avx512;
#endif

} // namespace ann
