#include "dot-group.h"

#if defined(__aarch64__) && defined(__GNUC__)

#    include <arm_neon.h>

namespace ann_idx {

namespace {

inline float32x4_t load_f32(const uint8_t * row, int i) {
    return vld1q_f32(reinterpret_cast<const float *>(row) + i);
}

inline float32x4_t load_f16(const uint8_t * row, int i) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t *>(row) + i)));
}

template <float32x4_t (*load)(const uint8_t *, int)>
void score4_float(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    for (int i = 0; i < dim; i += 4) {
        const float32x4_t q = vld1q_f32(query.f32.data() + i);
        for (int r = 0; r < 4; ++r) {
            sum[r] = vfmaq_f32(sum[r], q, load(row[r], i));
        }
    }
    for (int r = 0; r < 4; ++r) {
        out[r] = vaddvq_f32(sum[r]);
    }
}

// Two products of bytes fit 16 bits because values stay within [-127, 127].
inline int32x4_t dot_16(int32x4_t sum, int8x16_t q, int8x16_t x) {
    const int16x8_t pairs = vmlal_s8(vmull_s8(vget_low_s8(q), vget_low_s8(x)), vget_high_s8(q), vget_high_s8(x));
    return vpadalq_s16(sum, pairs);
}

void score4_q8(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    float32x4_t sum[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    for (int b = 0; b < dim / q8_block_size; ++b) {
        const size_t    at = size_t(b) * sizeof(q8_block);
        const int8x16_t q0 = vld1q_s8(query.q8.data() + b * q8_block_size);
        const int8x16_t q1 = vld1q_s8(query.q8.data() + b * q8_block_size + 16);
        for (int r = 0; r < 4; ++r) {
            const int8_t *  x     = reinterpret_cast<const int8_t *>(row[r] + at + offsetof(q8_block, values));
            const int32x4_t dot   = dot_16(dot_16(vdupq_n_s32(0), q0, vld1q_s8(x)), q1, vld1q_s8(x + 16));
            const float     scale = query.scale[size_t(b)] * fp16_to_float(q8_scale_bits(row[r] + at));
            sum[r]                = vfmaq_n_f32(sum[r], vcvtq_f32_s32(dot), scale);
        }
    }
    for (int r = 0; r < 4; ++r) {
        out[r] = vaddvq_f32(sum[r]);
    }
}

void score4_q4(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]) {
    const int n_bytes = dim / 2;
    int32x4_t sum[4]  = { vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0) };
    for (int j = 0; j < n_bytes; j += 16) {
        const int8x16_t q_low  = vld1q_s8(query.q8.data() + j);
        const int8x16_t q_high = vld1q_s8(query.q8.data() + n_bytes + j);
        for (int r = 0; r < 4; ++r) {
            const uint8x16_t both = vld1q_u8(row[r] + j);
            sum[r]                = dot_16(sum[r], q_low, vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))));
            sum[r]                = dot_16(sum[r], q_high, vreinterpretq_s8_u8(vshrq_n_u8(both, 4)));
        }
    }
    for (int r = 0; r < 4; ++r) {
        out[r] = code_score(query, row[r], vaddvq_s32(sum[r]));
    }
}

void f16_to_f32(const uint16_t * src, int n, float * dst) {
    for (int i = 0; i < n; i += 4) {
        vst1q_f32(dst + i, load_f16(reinterpret_cast<const uint8_t *>(src), i));
    }
}

}  // namespace

const dot_kernels * dot_kernels_neon() {
    static const dot_kernels set = {
        "neon",
        { score_in_fours<score4_float<load_f32>>, score_in_fours<score4_float<load_f16>>, score_in_fours<score4_q8>,
          score_in_fours<score4_q4> },
        f16_to_f32
    };
    return &set;
}

}  // namespace ann_idx

#else

namespace ann_idx {

const dot_kernels * dot_kernels_neon() {
    return nullptr;
}

}  // namespace ann_idx

#endif
