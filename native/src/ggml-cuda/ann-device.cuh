// What the kernels of ANN attention share. They think in lanes of 32, whatever the hardware's warp is: every exchange
// names that width, and no step needs the two halves of a wavefront of 64 to differ.
#pragma once

#include "common.cuh"

#include <cmath>

constexpr int ANN_LANES = 32;

#if !defined(ANN_EMULATED) // tests/native/ggml-cuda runs the same kernels on the host and brings its own
// Where the hardware can, the kernel begins while the one before it ends: it calls ann_begin before it touches what any
// kernel before it wrote, or reads what it is going to write.
template <typename... P, typename... A>
void ann_launch(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A... args) {
    ggml_cuda_kernel_launch(kernel, ggml_cuda_kernel_launch_params(grid, block, (size_t) 0, stream), args...);
}
#endif

static __device__ __forceinline__ void ann_begin() {
    ggml_cuda_pdl_lc();
    ggml_cuda_pdl_sync();
}

template <typename T> static __device__ __forceinline__ T ann_shfl_xor(T x, int lanes) {
    return __shfl_xor_sync(0xffffffff, x, lanes, ANN_LANES);
}

// ---------------------------------------------------------------------------------------------------------------------
// order: a score as an integer that sorts as it does; 0 never enters (hidden cells, NaN, -INFINITY)

static __device__ __forceinline__ uint32_t ann_key(float score) {
    const uint32_t bits = __float_as_uint(score);
    return score > -INFINITY ? (bits & 0x80000000u ? ~bits : bits | 0x80000000u) : 0u;
}

// higher score, then lower cell
static __device__ __forceinline__ unsigned long long ann_pack(uint32_t key, int32_t cell) {
    return ((unsigned long long) key << 32) | (uint32_t) ~cell;
}

static __device__ __forceinline__ int32_t ann_cell_of(unsigned long long packed) {
    return (int32_t) ~(uint32_t) packed;
}

// cells of a mask's row
static __device__ __forceinline__ bool ann_is_hidden(const char * mask_row, bool is_f32, int64_t cell) {
    return is_f32 ? ((const float *) mask_row)[cell] == -INFINITY : ((const uint16_t *) mask_row)[cell] == 0xFC00;
}

// ---------------------------------------------------------------------------------------------------------------------
// rows of every cache type: elements [e, e + 4) of a row; e is a multiple of 4

template <ggml_type type> struct ann_row;

template <> struct ann_row<GGML_TYPE_F32> {
    static __device__ __forceinline__ float4 load4(const char * row, int e) { return *(const float4 *) (row + e*sizeof(float)); }
};

template <> struct ann_row<GGML_TYPE_F16> {
    static __device__ __forceinline__ float4 load4(const char * row, int e) {
        const uint2 raw = *(const uint2 *) (row + e*sizeof(half));
        const half * h = (const half *) &raw;
        return make_float4(__half2float(h[0]), __half2float(h[1]), __half2float(h[2]), __half2float(h[3]));
    }
};

template <> struct ann_row<GGML_TYPE_BF16> {
    static __device__ __forceinline__ float4 load4(const char * row, int e) {
        const uint2 raw = *(const uint2 *) (row + e*2);
        return make_float4(__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u),
                           __uint_as_float(raw.y << 16), __uint_as_float(raw.y & 0xffff0000u));
    }
};

// blocks of 32 elements; they are aligned to 2 bytes
template <> struct ann_row<GGML_TYPE_Q8_0> {
    static constexpr int BYTES = 34;
    static __device__ __forceinline__ float4 load4(const char * row, int e) {
        const uint16_t * block = (const uint16_t *) (row + e/32*BYTES);
        const float d = __half2float(*(const half *) block);
        const uint32_t lo = block[1 + e%32/2];
        const uint32_t hi = block[2 + e%32/2];
        return make_float4(d*(int8_t) lo, d*(int8_t) (lo >> 8), d*(int8_t) hi, d*(int8_t) (hi >> 8));
    }
};

template <> struct ann_row<GGML_TYPE_Q4_0> {
    static constexpr int BYTES = 18;
    static __device__ __forceinline__ float4 load4(const char * row, int e) {
        const uint16_t * block = (const uint16_t *) (row + e/32*BYTES);
        const float d = __half2float(*(const half *) block);
        const int shift = e%32 < 16 ? 0 : 4; // the second half of a block is in the high nibbles
        const uint32_t raw = (block[1 + e%16/2] | (uint32_t) block[2 + e%16/2] << 16) >> shift;
        return make_float4(d*((int) (raw & 15) - 8), d*((int) (raw >> 8 & 15) - 8),
                           d*((int) (raw >> 16 & 15) - 8), d*((int) (raw >> 24 & 15) - 8));
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// matrix units: c[16 x 8] += a[16 x 16] * b[16 x 8], f16 with f32 sums (PTX ISA, mma.m16n8k16)

#if defined(ANN_EMULATED)
#define ANN_MMA_AVAILABLE
#elif !defined(GGML_USE_HIP) && !defined(GGML_USE_MUSA) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define ANN_MMA_AVAILABLE
static __device__ __forceinline__ void ann_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

// lets a row travel while something else is computed; only a hint
static __device__ __forceinline__ void ann_prefetch(const char * p) {
#if !defined(ANN_EMULATED) && !defined(GGML_USE_HIP) && !defined(GGML_USE_MUSA)
    asm volatile("prefetch.global.L2 [%0];" :: "l"(p));
#else
    GGML_UNUSED(p);
#endif
}
