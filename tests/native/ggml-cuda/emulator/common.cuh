// Stands in for ggml-cuda's common.cuh, so that our .cu files compile as C++ and run on the host: one block after the
// other, its threads as fibers of one thread. Exchanges between lanes and barriers are real (a thread that does not arrive
// is an error), shared memory keeps what the block before left there, pool memory begins as garbage. It proves indices,
// layouts and order of steps; races and speed it cannot see.
#pragma once

#define ANN_EMULATED

#include "ggml.h"
#include "ggml-impl.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

using std::max;
using std::min;

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct int2   { int x, y; };
struct uint2  { uint32_t x, y; };
struct uint4  { uint32_t x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
inline int2   make_int2  (int x, int y) { return { x, y }; }
inline uint2  make_uint2 (uint32_t x, uint32_t y) { return { x, y }; }
inline uint4  make_uint4 (uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return { x, y, z, w }; }
inline float2 make_float2(float x, float y) { return { x, y }; }
inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }

struct half  { ggml_fp16_t bits; };
struct half2 { half x, y; };
inline float half_to_float(half h) { return ggml_fp16_to_fp32(h.bits); }
inline half  __float2half(float x) { return { ggml_fp32_to_fp16(x) }; }
inline float __half2float(half h)  { return half_to_float(h); }
inline half2 __hsub2(half2 a, half2 b) {
    return { __float2half(half_to_float(a.x) - half_to_float(b.x)), __float2half(half_to_float(a.y) - half_to_float(b.y)) };
}

inline uint32_t __float_as_uint(float x) { uint32_t y; std::memcpy(&y, &x, 4); return y; }
inline float    __uint_as_float(uint32_t x) { float y; std::memcpy(&y, &x, 4); return y; }
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
    const uint64_t both = (uint64_t) y << 32 | x;
    uint32_t res = 0;
    for (int i = 0; i < 4; ++i) {
        res |= (uint32_t) (both >> 8*(selector >> 4*i & 7) & 255) << 8*i;
    }
    return res;
}

inline uint32_t atomicAdd(uint32_t * p, uint32_t x) { const uint32_t old = *p; *p += x; return old; }
inline uint32_t atomicSub(uint32_t * p, uint32_t x) { const uint32_t old = *p; *p -= x; return old; }
inline void __threadfence() {}
inline void ggml_cuda_pdl_lc() {}
inline void ggml_cuda_pdl_sync() {}
inline float rsqrtf(float x) { return 1.0f/std::sqrt(x); }

// ---------------------------------------------------------------------------------------------------------------------
// threads (emulator.cpp)

namespace emulator {
extern dim3 grid_dim, block_dim, block_idx, thread_idx;

void launch(dim3 grid, dim3 block, const std::function<void()> & thread);
void sync_block();
void sync_lanes(); // of 32
void * lane_slots(); // of this thread's 32 lanes: 32 x 32 bytes
} // namespace emulator

#define gridDim   emulator::grid_dim
#define blockDim  emulator::block_dim
#define blockIdx  emulator::block_idx
#define threadIdx emulator::thread_idx

inline void __syncthreads() { emulator::sync_block(); }

template <typename T> T emulated_exchange(T x, int from) {
    struct slot { alignas(32) char bytes[32]; };
    slot * slots = (slot *) emulator::lane_slots();
    std::memcpy(slots[threadIdx.x % 32].bytes, &x, sizeof(T));
    emulator::sync_lanes();
    T y;
    std::memcpy(&y, slots[from].bytes, sizeof(T));
    emulator::sync_lanes();
    return y;
}
template <typename T> T __shfl_xor_sync(unsigned, T x, int lanes, int) { return emulated_exchange(x, (threadIdx.x % 32) ^ lanes); }
template <typename T> T __shfl_up_sync(unsigned, T x, int n, int) {
    const int lane = threadIdx.x % 32;
    return emulated_exchange(x, lane >= n ? lane - n : lane);
}

// the fragments of mma.m16n8k16 as the PTX ISA lays them out over 32 lanes
inline void ann_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    struct operands { uint32_t a[4], b[2]; };
    operands mine = { { a[0], a[1], a[2], a[3] }, { b0, b1 } };
    const int lane = threadIdx.x % 32;
    const int g = lane/4, t = lane%4;
    operands all[32];
    for (int i = 0; i < 32; ++i) {
        all[i] = {};
    }
    std::memcpy((char *) emulator::lane_slots() + 32*lane, &mine, sizeof(mine));
    emulator::sync_lanes();
    for (int i = 0; i < 32; ++i) {
        std::memcpy(&all[i], (char *) emulator::lane_slots() + 32*i, sizeof(operands));
    }
    emulator::sync_lanes();
    auto product = [](uint32_t x, uint32_t y) {
        return ggml_fp16_to_fp32((uint16_t) x)*ggml_fp16_to_fp32((uint16_t) y) +
               ggml_fp16_to_fp32((uint16_t) (x >> 16))*ggml_fp16_to_fp32((uint16_t) (y >> 16));
    };
    for (int i = 0; i < 4; ++i) {
        const int row = g + i/2*8, column = 2*t + i%2;
        for (int j = 0; j < 4; ++j) {
            const operands & left  = all[4*(row % 8) + j];
            const operands & right = all[4*column + j];
            c[i] += product(left.a[row/8], right.b[0]) + product(left.a[2 + row/8], right.b[1]);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// the backend's context

#define CUDA_CHECK(x) x
#define GGML_CUDA_MAX_STREAMS 8

// What is enqueued on another stream than the first runs when the first waits for it: as late as it may.
using cudaStream_t = int;
struct emulated_event { cudaStream_t stream; };
using cudaEvent_t = emulated_event *;
constexpr unsigned cudaEventDisableTiming = 2;
namespace emulator {
inline std::vector<std::function<void()>> enqueued;
inline int n_enqueued = 0; // ever
} // namespace emulator
inline void cudaEventCreateWithFlags(cudaEvent_t * event, unsigned) { *event = new emulated_event(); }
inline void cudaEventDestroy(cudaEvent_t event) { delete event; }
inline void cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { event->stream = stream; }
inline void cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    if (stream == 0 && event->stream != 0) {
        for (const auto & kernel : emulator::enqueued) {
            kernel();
        }
        emulator::enqueued.clear();
    }
}

struct emulated_device {
    int cc  = 900;
    int nsm = 4;
};
struct emulated_info {
    emulated_device devices[1];
};
inline emulated_info & ggml_cuda_info() {
    static emulated_info info;
    return info;
}
#define GGML_CUDA_CC_IS_NVIDIA(cc) ((cc) >= 0)
inline bool ampere_mma_available(int cc) { return cc >= 800; }

struct ggml_cuda_pool {
    std::vector<void *> given; // to be returned in reverse order, as to the backend's own pool
};
template <typename T> struct ggml_cuda_pool_alloc {
    ggml_cuda_pool & pool;
    T * ptr = nullptr;

    explicit ggml_cuda_pool_alloc(ggml_cuda_pool & pool) : pool(pool) {}
    ggml_cuda_pool_alloc(ggml_cuda_pool & pool, size_t n) : pool(pool) { alloc(n); }
    ~ggml_cuda_pool_alloc() {
        if (ptr) {
            GGML_ASSERT(pool.given.back() == ptr);
            pool.given.pop_back();
            std::free(ptr);
        }
    }
    ggml_cuda_pool_alloc(const ggml_cuda_pool_alloc &) = delete;

    T * alloc(size_t n) {
        ptr = (T *) std::aligned_alloc(64, (n*sizeof(T) + 63)/64*64);
        std::memset((void *) ptr, 0xA5, n*sizeof(T));
        pool.given.push_back(ptr);
        return ptr;
    }
    T * get() { return ptr; }
};

struct ggml_backend_cuda_context {
    int device         = 0;
    int curr_stream_no = 0;
    ggml_cuda_pool memory[GGML_CUDA_MAX_STREAMS];

    ggml_cuda_pool & pool() { return memory[curr_stream_no]; }
    cudaStream_t stream(int, int n) { return n; }
    cudaStream_t stream() { return curr_stream_no; }
};

template <typename... P, typename... A>
void ann_launch(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A... args) {
    if (stream == 0) {
        emulator::launch(grid, block, [&] { kernel(args...); });
        return;
    }
    ++emulator::n_enqueued;
    emulator::enqueued.push_back([=] { emulator::launch(grid, block, [&] { kernel(args...); }); });
}
