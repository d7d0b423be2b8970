// Vector primitives of the ANN kernels. One vector type per CPU variant (this header is compiled once for each):
// 16 floats with AVX-512, 8 with AVX, 4 elsewhere. GCC / Clang vector extensions carry the arithmetic, so the same
// source serves x86 and ARM; only conversions from f16 and int8 need an intrinsic.
#pragma once

#include "ggml-impl.h"
#include "simd-mappings.h"

#include <cstdint>
#include <cstring>

#if defined(__AVX__) || defined(__AVX512F__)
#    include <immintrin.h>
#endif

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

namespace ann {

#if defined(__AVX512F__)
constexpr int VF = 16;
#elif defined(__AVX__)
constexpr int VF = 8;
#else
constexpr int VF = 4;
#endif

typedef float vf __attribute__((vector_size(VF*sizeof(float))));

inline vf    load(const float * p)       { vf v; std::memcpy(&v, p, sizeof(v)); return v; }
inline void  store(float * p, vf v)      { std::memcpy(p, &v, sizeof(v)); }
inline vf    splat(float x)              { return x - vf{}; }

inline float sum(vf v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512) v);
#else
    float s = 0.0f;
    for (int i = 0; i < VF; ++i) {
        s += v[i];
    }
    return s;
#endif
}

// VF values of f16
inline vf load_f16(const ggml_fp16_t * p) {
#if defined(__AVX512F__)
    return (vf) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
#elif defined(__F16C__)
    return (vf) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
#else
    vf v;
    for (int i = 0; i < VF; ++i) {
        v[i] = GGML_CPU_FP16_TO_FP32(p[i]);
    }
    return v;
#endif
}

// n is a multiple of VF in all of these unless said otherwise; the tail is scalar

inline float dot(const float * a, const float * b, int64_t n) {
    vf s0 = {}, s1 = {};
    int64_t i = 0;
    for (; i + 2*VF <= n; i += 2*VF) {
        s0 += load(a + i)*load(b + i);
        s1 += load(a + i + VF)*load(b + i + VF);
    }
    for (; i + VF <= n; i += VF) {
        s0 += load(a + i)*load(b + i);
    }
    float s = sum(s0 + s1);
    for (; i < n; ++i) {
        s += a[i]*b[i];
    }
    return s;
}

inline float dot(const ggml_fp16_t * a, const float * b, int64_t n) {
    vf s0 = {}, s1 = {};
    int64_t i = 0;
    for (; i + 2*VF <= n; i += 2*VF) {
        s0 += load_f16(a + i)*load(b + i);
        s1 += load_f16(a + i + VF)*load(b + i + VF);
    }
    for (; i + VF <= n; i += VF) {
        s0 += load_f16(a + i)*load(b + i);
    }
    float s = sum(s0 + s1);
    for (; i < n; ++i) {
        s += GGML_CPU_FP16_TO_FP32(a[i])*b[i];
    }
    return s;
}

// y += a*x
inline void axpy(float * y, float a, const float * x, int64_t n) {
    const vf va = splat(a);
    int64_t i = 0;
    for (; i + VF <= n; i += VF) {
        store(y + i, load(y + i) + va*load(x + i));
    }
    for (; i < n; ++i) {
        y[i] += a*x[i];
    }
}

inline void scale(float * y, float a, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        y[i] *= a;
    }
}

inline void convert(const ggml_fp16_t * x, float * y, int64_t n) {
    int64_t i = 0;
    for (; i + VF <= n; i += VF) {
        store(y + i, load_f16(x + i));
    }
    for (; i < n; ++i) {
        y[i] = GGML_CPU_FP16_TO_FP32(x[i]);
    }
}

// A query for q8_0 keys: one scale and 16-bit integers, so that the integer dot product with int8 keys is exact and the
// rounding of the query (2^-16 of its largest component) is far below that of the keys (2^-8).
struct query_i16 {
    float   d; // component = d * q[i]
    int16_t q[1024];

    void set(const float * x, int64_t n) {
        float amax = 0.0f;
        for (int64_t i = 0; i < n; ++i) {
            amax = x[i] < 0 ? (amax > -x[i] ? amax : -x[i]) : (amax > x[i] ? amax : x[i]);
        }
        d = amax/32767.0f;
        const float id = amax > 0.0f ? 32767.0f/amax : 0.0f;
        for (int64_t i = 0; i < n; ++i) {
            const float v = x[i]*id;
            q[i] = (int16_t) (v < 0 ? v - 0.5f : v + 0.5f);
        }
    }
};

// n is a multiple of 32
inline float dot(const block_q8_0 * a, const query_i16 & b, int64_t n) {
    float s = 0.0f;
#if defined(__AVX512BW__)
    vf acc = {};
    for (int64_t i = 0; i < n/32; ++i) {
        const __m512i k = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) a[i].qs));
        const __m512i p = _mm512_madd_epi16(k, _mm512_loadu_si512(b.q + i*32));
        acc += (vf) _mm512_cvtepi32_ps(p)*splat(_cvtsh_ss(a[i].d));
    }
    s = sum(acc);
#elif defined(__AVX2__) && defined(__F16C__)
    __m256 acc = _mm256_setzero_ps();
    for (int64_t i = 0; i < n/32; ++i) {
        const __m256i k0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (a[i].qs)));
        const __m256i k1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (a[i].qs + 16)));
        const __m256i p0 = _mm256_madd_epi16(k0, _mm256_loadu_si256((const __m256i *) (b.q + i*32)));
        const __m256i p1 = _mm256_madd_epi16(k1, _mm256_loadu_si256((const __m256i *) (b.q + i*32 + 16)));
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(p0, p1)), _mm256_set1_ps(_cvtsh_ss(a[i].d)), acc);
    }
    s = sum((vf) acc);
#else
    for (int64_t i = 0; i < n/32; ++i) {
        int32_t p = 0;
        for (int j = 0; j < 32; ++j) {
            p += (int32_t) a[i].qs[j]*b.q[i*32 + j];
        }
        s += (float) p*GGML_CPU_FP16_TO_FP32(a[i].d);
    }
#endif
    return s*b.d;
}

} // namespace ann
