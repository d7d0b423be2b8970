#include "dot-group.h"

#if defined(__x86_64__) && defined(__GNUC__)

// GCC 12 takes its own headers' undefined vectors for mistakes (bug 105593).
#    if !defined(__clang__)
#        pragma GCC diagnostic ignored "-Wuninitialized"
#        pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#    endif
#    include "dot-x86.h"

#    define ANN_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")))

namespace ann_idx {

namespace {

ANN_AVX512 inline __m512 load_f32(const uint8_t * row, int i) {
    return _mm512_loadu_ps(reinterpret_cast<const float *>(row) + i);
}

ANN_AVX512 inline __m512 load_f16(const uint8_t * row, int i) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(row + size_t(i) * 2)));
}

template <__m512 (*load)(const uint8_t *, int)>
ANN_AVX512 void score4_float(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    __m512 sum[4] = { _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps() };
    for (int i = 0; i < dim; i += 16) {
        const __m512 q = _mm512_loadu_ps(query.f32.data() + i);
        for (int r = 0; r < 4; ++r) {
            sum[r] = _mm512_fmadd_ps(q, load(row[r], i), sum[r]);
        }
    }
    for (int r = 0; r < 4; ++r) {
        out[r] = _mm512_reduce_add_ps(sum[r]);
    }
}

// The unsigned operand is x + 128, so each sum starts at -128 * (its four q).
ANN_AVX512 void score4_q8(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    const __m256i flip   = _mm256_set1_epi8(char(0x80));
    __m256        sum[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (int b = 0; b < dim / q8_block_size; ++b) {
        const size_t  at     = size_t(b) * sizeof(q8_block);
        const __m256i q      = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(query.q8.data() + b * q8_block_size));
        const __m256i start  = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_dpbusd_epi32(_mm256_setzero_si256(), flip, q));
        const __m128i halves = _mm_setr_epi16(short(q8_scale_bits(row[0] + at)), short(q8_scale_bits(row[1] + at)),
                                              short(q8_scale_bits(row[2] + at)), short(q8_scale_bits(row[3] + at)), 0, 0, 0, 0);
        float         scale[4];
        _mm_storeu_ps(scale, _mm_mul_ps(_mm_set1_ps(query.scale[size_t(b)]), _mm_cvtph_ps(halves)));
        for (int r = 0; r < 4; ++r) {
            const uint8_t * values = row[r] + at + offsetof(q8_block, values);
            const __m256i   x      = _mm256_xor_si256(flip, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(values)));
            const __m256    dot    = _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(start, x, q));
            sum[r]                 = _mm256_fmadd_ps(_mm256_set1_ps(scale[r]), dot, sum[r]);
        }
    }
    _mm_storeu_ps(out, sums(sum[0], sum[1], sum[2], sum[3]));
}

// The products of 32 bytes, or of the first of them, with 32 query values of each half.
ANN_AVX512 inline __m256i add_codes(__m256i sum, __m256i x, __m256i q_low, __m256i q_high) {
    const __m256i half = _mm256_set1_epi8(15);
    sum                = _mm256_dpbusd_epi32(sum, _mm256_and_si256(x, half), q_low);
    return _mm256_dpbusd_epi32(sum, _mm256_and_si256(_mm256_srli_epi16(x, 4), half), q_high);
}

ANN_AVX512 void score4_q4(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    const int8_t * q_of_low  = query.q8.data();
    const int8_t * q_of_high = q_of_low + dim / 2;
    const int      n_bytes   = dim / 2;
    __m256i sum[4] = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    int     j      = 0;
    if (n_bytes >= 64) {
        const __m512i half   = _mm512_set1_epi8(15);
        __m512i       all[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
        for (; j + 64 <= n_bytes; j += 64) {
            const __m512i q_low  = _mm512_loadu_si512(q_of_low + j);
            const __m512i q_high = _mm512_loadu_si512(q_of_high + j);
            for (int r = 0; r < 4; ++r) {
                const __m512i x = _mm512_loadu_si512(row[r] + j);
                all[r]          = _mm512_dpbusd_epi32(all[r], _mm512_and_si512(x, half), q_low);
                all[r]          = _mm512_dpbusd_epi32(all[r], _mm512_and_si512(_mm512_srli_epi16(x, 4), half), q_high);
            }
        }
        for (int r = 0; r < 4; ++r) {
            sum[r] = _mm256_add_epi32(_mm512_castsi512_si256(all[r]), _mm512_extracti64x4_epi64(all[r], 1));
        }
    }
    for (; j < n_bytes; j += 32) {
        const __mmask32 mask   = n_bytes - j >= 32 ? ~__mmask32(0) : __mmask32(0xffff);
        const __m256i   q_low  = _mm256_maskz_loadu_epi8(mask, q_of_low + j);
        const __m256i   q_high = _mm256_maskz_loadu_epi8(mask, q_of_high + j);
        for (int r = 0; r < 4; ++r) {
            sum[r] = add_codes(sum[r], _mm256_maskz_loadu_epi8(mask, row[r] + j), q_low, q_high);
        }
    }
    store_code_scores(query, row, sum, out);
}

ANN_AVX512 void f16_to_f32(const uint16_t * src, int n, float * dst) {
    for (int i = 0; i < n; i += 16) {
        _mm512_storeu_ps(dst + i, load_f16(reinterpret_cast<const uint8_t *>(src), i));
    }
}

}  // namespace

const dot_kernels * dot_kernels_avx512() {
    static const dot_kernels set = {
        "avx512", { score_in_fours<score4_float<load_f32>>, score_in_fours<score4_float<load_f16>>, score_in_fours<score4_q8>,
                    score_in_fours<score4_q4> },
         f16_to_f32
    };
    const bool can_run = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    return can_run ? &set : nullptr;
}

}  // namespace ann_idx

#else

namespace ann_idx {

const dot_kernels * dot_kernels_avx512() {
    return nullptr;
}

}  // namespace ann_idx

#endif
