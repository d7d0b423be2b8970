#include "dot-group.h"

#if defined(__x86_64__) && defined(__GNUC__)

#    include "dot-x86.h"

namespace ann_idx {

namespace {

ANN_AVX2 inline __m256 load_f32(const uint8_t * row, int i) {
    return _mm256_loadu_ps(reinterpret_cast<const float *>(row) + i);
}

ANN_AVX2 inline __m256 load_f16(const uint8_t * row, int i) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(row + size_t(i) * 2)));
}

template <__m256 (*load)(const uint8_t *, int)>
ANN_AVX2 void score4_float(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    __m256 sum[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (int i = 0; i < dim; i += 8) {
        const __m256 q = _mm256_loadu_ps(query.f32.data() + i);
        for (int r = 0; r < 4; ++r) {
            sum[r] = _mm256_fmadd_ps(q, load(row[r], i), sum[r]);
        }
    }
    _mm_storeu_ps(out, sums(sum[0], sum[1], sum[2], sum[3]));
}

// Products of |q| and x with q's sign: unsigned times signed bytes, at most 2 * 127 * 127 in 16 bits.
ANN_AVX2 inline __m256 dot_block(__m256i q, __m256i q_abs, const uint8_t * values) {
    const __m256i x     = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(values));
    const __m256i pairs = _mm256_maddubs_epi16(q_abs, _mm256_sign_epi8(x, q));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

ANN_AVX2 void score4_q8(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    __m256 sum[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (int b = 0; b < dim / q8_block_size; ++b) {
        const size_t  at     = size_t(b) * sizeof(q8_block);
        const __m256i q      = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(query.q8.data() + b * q8_block_size));
        const __m256i q_abs  = _mm256_abs_epi8(q);
        const __m128i halves = _mm_setr_epi16(short(q8_scale_bits(row[0] + at)), short(q8_scale_bits(row[1] + at)),
                                              short(q8_scale_bits(row[2] + at)), short(q8_scale_bits(row[3] + at)), 0, 0, 0, 0);
        float         scale[4];
        _mm_storeu_ps(scale, _mm_mul_ps(_mm_set1_ps(query.scale[size_t(b)]), _mm_cvtph_ps(halves)));
        for (int r = 0; r < 4; ++r) {
            const __m256 dot = dot_block(q, q_abs, row[r] + at + offsetof(q8_block, values));
            sum[r]           = _mm256_fmadd_ps(_mm256_set1_ps(scale[r]), dot, sum[r]);
        }
    }
    _mm_storeu_ps(out, sums(sum[0], sum[1], sum[2], sum[3]));
}

// Unsigned halves times signed bytes: at most 2 * 15 * 127 in 16 bits.
ANN_AVX2 void score4_q4(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    const __m128i half    = _mm_set1_epi8(15);
    const int     n_bytes = dim / 2;
    __m256i       sum[4]  = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    for (int j = 0; j < n_bytes; j += 16) {
        const __m128i q_low  = _mm_loadu_si128(reinterpret_cast<const __m128i *>(query.q8.data() + j));
        const __m128i q_high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(query.q8.data() + n_bytes + j));
        const __m256i q      = _mm256_set_m128i(q_high, q_low);
        for (int r = 0; r < 4; ++r) {
            const __m128i both  = _mm_loadu_si128(reinterpret_cast<const __m128i *>(row[r] + j));
            const __m256i x     = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(both, 4), half), _mm_and_si128(both, half));
            const __m256i pairs = _mm256_maddubs_epi16(x, q);
            sum[r]              = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
    store_code_scores(query, row, sum, out);
}

ANN_AVX2 void f16_to_f32(const uint16_t * src, int n, float * dst) {
    for (int i = 0; i < n; i += 8) {
        _mm256_storeu_ps(dst + i, load_f16(reinterpret_cast<const uint8_t *>(src), i));
    }
}

}  // namespace

const dot_kernels * dot_kernels_avx2() {
    static const dot_kernels set = {
        "avx2", { score_in_fours<score4_float<load_f32>>, score_in_fours<score4_float<load_f16>>, score_in_fours<score4_q8>,
                  score_in_fours<score4_q4> },
         f16_to_f32
    };
    const bool can_run =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return can_run ? &set : nullptr;
}

}  // namespace ann_idx

#else

namespace ann_idx {

const dot_kernels * dot_kernels_avx2() {
    return nullptr;
}

}  // namespace ann_idx

#endif
