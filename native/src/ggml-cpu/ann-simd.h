// Vector primitives of the ANN kernels. One vector type per CPU variant (this header is compiled once for each):
// 16 floats with AVX-512, 8 with AVX, 4 elsewhere. GCC / Clang vector extensions carry the arithmetic, so the same
// source serves x86 and ARM; only conversions from f16 and int8 need an intrinsic.
#pragma once

#include "ggml.h"
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

inline vf max(vf a, vf b) { return a > b ? a : b; }

// res[i] = sum of v[i], for four vectors at once
inline void sum4(const vf * v, float * res) {
#if defined(__AVX__)
    __m256 half[4];
    for (int i = 0; i < 4; ++i) {
#if defined(__AVX512F__)
        const __m512d x = (__m512d) v[i];
        half[i] = _mm256_add_ps((__m256) _mm512_castpd512_pd256(x), (__m256) _mm512_extractf64x4_pd(x, 1));
#else
        half[i] = (__m256) v[i];
#endif
    }
    const __m256 a = _mm256_hadd_ps(half[0], half[1]);
    const __m256 b = _mm256_hadd_ps(half[2], half[3]);
    const __m256 c = _mm256_hadd_ps(a, b);
    _mm_storeu_ps(res, _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1)));
#else
    for (int i = 0; i < 4; ++i) {
        res[i] = sum(v[i]);
    }
#endif
}

inline float max_of(const float * x, int64_t n) {
    float m = -INFINITY;
    int64_t i = 0;
    if (n >= VF) {
        vf v = load(x);
        for (i = VF; i + VF <= n; i += VF) {
            v = max(v, load(x + i));
        }
        for (int j = 0; j < VF; ++j) {
            m = m > v[j] ? m : v[j];
        }
    }
    for (; i < n; ++i) {
        m = m > x[i] ? m : x[i];
    }
    return m;
}

inline void prefetch(const char * p, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += 64) {
        __builtin_prefetch(p + i);
    }
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

// VF values of int8
inline vf load_i8(const int8_t * p) {
#if defined(__AVX512F__)
    return (vf) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) p)));
#elif defined(__AVX2__)
    return (vf) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) p)));
#else
    vf v;
    for (int i = 0; i < VF; ++i) {
        v[i] = p[i];
    }
    return v;
#endif
}

inline vf    load_any(const float * p)        { return load(p); }
inline vf    load_any(const ggml_fp16_t * p)  { return load_f16(p); }
inline float scalar_of(float x)               { return x; }
inline float scalar_of(ggml_fp16_t x)         { return GGML_CPU_FP16_TO_FP32(x); }

// n need not be a multiple of VF in any of these: the tail is scalar

template <typename T> float dot(const T * a, const float * b, int64_t n) {
    vf s0 = {}, s1 = {};
    int64_t i = 0;
    for (; i + 2*VF <= n; i += 2*VF) {
        s0 += load_any(a + i)*load(b + i);
        s1 += load_any(a + i + VF)*load(b + i + VF);
    }
    for (; i + VF <= n; i += VF) {
        s0 += load_any(a + i)*load(b + i);
    }
    float s = sum(s0 + s1);
    for (; i < n; ++i) {
        s += scalar_of(a[i])*b[i];
    }
    return s;
}

// res[i] = dot(a[i], b) of four vectors, d a multiple of 32
template <typename T> void dot4(const T * const * a, const float * b, int64_t d, float * res) {
    vf acc[4] = {};
    for (int64_t e = 0; e < d; e += VF) {
        const vf x = load(b + e);
        for (int i = 0; i < 4; ++i) {
            acc[i] += load_any(a[i] + e)*x;
        }
    }
    sum4(acc, res);
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

// n: a multiple of 32
inline void convert(const block_q8_0 * x, float * y, int64_t n) {
    for (int64_t i = 0; i < n/32; ++i) {
        const vf d = splat(GGML_CPU_FP16_TO_FP32(x[i].d));
        for (int j = 0; j < 32; j += VF) {
            store(y + 32*i + j, d*load_i8(x[i].qs + j));
        }
    }
}

// n values of f32, f16 or a quantised type as f32; of f32 the row itself, else into tmp
inline const float * row_as_f32(ggml_type type, const char * row, int64_t n, float * tmp) {
    if (type == GGML_TYPE_F32) {
        return (const float *) row;
    }
    switch (type) {
        case GGML_TYPE_F16:  convert((const ggml_fp16_t *) row, tmp, n); break;
        case GGML_TYPE_Q8_0: convert((const block_q8_0 *)  row, tmp, n); break;
        default: ggml_get_type_traits(type)->to_float(row, tmp, n);
    }
    return tmp;
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

#if defined(__AVX2__) && defined(__F16C__) && !defined(__AVX512BW__)
// adds block e0 + E of four keys, scaled by element E of their scales
template <int E>
inline void dot4_block(const block_q8_0 * const * a, const query_i16 & b, int64_t e0, const __m128 * scale, __m128 * acc) {
    const __m128i * q = (const __m128i *) (b.q + (e0 + E)*32);
    for (int i = 0; i < 4; ++i) {
        const int8_t * k = a[i][e0 + E].qs;
        __m128i sum = _mm_setzero_si128();
        for (int j = 0; j < 4; ++j) {
            const __m128i x = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *) (k + 8*j)));
            sum = _mm_add_epi32(sum, _mm_madd_epi16(x, _mm_loadu_si128(q + j)));
        }
        acc[i] = _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_shuffle_ps(scale[i], scale[i], E*0x55), acc[i]);
    }
}

// adds blocks [e0, e0 + N) of four keys, N <= 4
template <int N>
inline void dot4_blocks(const block_q8_0 * const * a, const query_i16 & b, int64_t e0, __m128 * acc) {
    __m128 scale[4];
    for (int i = 0; i < 4; ++i) {
        uint64_t halves = 0;
        for (int e = 0; e < N; ++e) {
            halves |= (uint64_t) a[i][e0 + e].d << 16*e;
        }
        scale[i] = _mm_cvtph_ps(_mm_cvtsi64_si128((long long) halves));
    }
    dot4_block<0>(a, b, e0, scale, acc);
    if (N > 1) { dot4_block<1>(a, b, e0, scale, acc); }
    if (N > 2) { dot4_block<2>(a, b, e0, scale, acc); }
    if (N > 3) { dot4_block<3>(a, b, e0, scale, acc); }
}
#endif

// Four keys at once: the sum over a block's 32 products, times its scale, is added lane by lane and reduced at the end.
// d is a multiple of 32.
inline void dot4(const block_q8_0 * const * a, const query_i16 & b, int64_t d, float * res) {
#if defined(__AVX512BW__)
    vf acc[4] = {};
    for (int64_t e = 0; e < d/32; ++e) {
        const __m512i q = _mm512_loadu_si512(b.q + e*32);
        for (int i = 0; i < 4; ++i) {
            const __m512i k = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) a[i][e].qs));
            acc[i] += (vf) _mm512_cvtepi32_ps(_mm512_madd_epi16(k, q))*splat(_cvtsh_ss(a[i][e].d));
        }
    }
    sum4(acc, res);
#elif defined(__AVX2__) && defined(__F16C__)
    // 128-bit: as fast as 256-bit where those are whole, a quarter faster where they are split (first-generation EPYC)
    __m128 acc[4] = {};
    int64_t e = 0;
    for (; e + 4 <= d/32; e += 4) {
        dot4_blocks<4>(a, b, e, acc);
    }
    switch (d/32 - e) {
        case 3: dot4_blocks<3>(a, b, e, acc); break;
        case 2: dot4_blocks<2>(a, b, e, acc); break;
        case 1: dot4_blocks<1>(a, b, e, acc); break;
    }
    _mm_storeu_ps(res, _mm_hadd_ps(_mm_hadd_ps(acc[0], acc[1]), _mm_hadd_ps(acc[2], acc[3])));
#else
    for (int i = 0; i < 4; ++i) {
        float s = 0.0f;
        for (int64_t e = 0; e < d/32; ++e) {
            int32_t p = 0;
            for (int j = 0; j < 32; ++j) {
                p += (int32_t) a[i][e].qs[j]*b.q[e*32 + j];
            }
            s += (float) p*GGML_CPU_FP16_TO_FP32(a[i][e].d);
        }
        res[i] = s;
    }
#endif
    for (int i = 0; i < 4; ++i) {
        res[i] *= b.d;
    }
}

} // namespace ann
