// What the kernel files of x86 share. For files whose functions are compiled for AVX2 at least.
#pragma once

#include "dot-group.h"

#include <immintrin.h>

#include <cstdint>

namespace ann_idx {

#define ANN_AVX2 __attribute__((target("avx2,fma,f16c")))

// The sums of four vectors, in order.
ANN_AVX2 inline __m128 sums(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

ANN_AVX2 inline __m128i sums(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

// out = the scores of four codes, of whose products with the query sum[r] holds parts.
ANN_AVX2 inline void store_code_scores(const dot_query & query, const uint8_t * const row[4], const __m256i sum[4], float out[4]) {
    int32_t in_order[4];
    _mm_storeu_si128(reinterpret_cast<__m128i *>(in_order), sums(sum[0], sum[1], sum[2], sum[3]));
    for (int r = 0; r < 4; ++r) {
        out[r] = code_score(query, row[r], in_order[r]);
    }
}

}  // namespace ann_idx
